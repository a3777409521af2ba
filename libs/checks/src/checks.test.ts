import { describe, expect, it } from 'vitest';
import type { CheckContext, GuestResult } from './contract.ts';
import { checksOf, runCheck } from './run.ts';
import {
  broken,
  definition,
  standInContext,
  standInDatabase,
  standInGuest,
  declared,
  tailnetRules,
} from './testing/healthy.ts';

const checks = checksOf(definition);
const names = checks.map(({ name }) => name);

async function resultOf(name: string, context: CheckContext) {
  const check = checks.find((candidate) => candidate.name === name);
  if (check === undefined) throw new Error(`no check ${name} among ${names.join(', ')}`);
  return runCheck(check, context);
}

/** The guest is healthy, but a command with this word in it answers so. */
const withGuest = (word: string, answer: GuestResult | ((command: string) => GuestResult)): CheckContext =>
  standInContext({
    guest: standInGuest((command) =>
      command.includes(word) ? (typeof answer === 'function' ? answer(command) : answer) : undefined,
    ),
  });

const prints = (stdout: string): GuestResult => ({ status: 0, stdout, stderr: '' });

describe('a healthy service', () => {
  it.each(names)('passes %s', async (name) => {
    expect(await resultOf(name, standInContext())).toMatchObject({ name, result: 'pass' });
  });
});

const other = 'tcp dport 22 ct original proto-dst 22 accept';

/** Each check, its cause taken away. */
const causes: [check: string, cause: string, context: CheckContext][] = [
  ...names
    .filter((name) => name.startsWith('kernel.'))
    .map((name): [string, string, CheckContext] => [
      name,
      'its symbol is missing from /proc/config.gz',
      withGuest('config.gz', prints('CONFIG_OTHER=y\n# CONFIG_SYSVIPC is not set\n')),
    ]),
  ['kernel.sysvipc', 'shmget answers ENOSYS', withGuest('shmget-probe', broken('', 38))],
  [
    'kernel.tun',
    'the guest is not reached',
    standInContext({ guest: { exec: () => Promise.reject(new Error('x')) } }),
  ],
  [
    'dev.net-tun',
    'the node is removed',
    withGuest('/dev/net/tun', broken('/dev/net/tun is no character device')),
  ],
  ['dev.vsock', 'the node has no driver', withGuest('/dev/vsock', broken('/dev/vsock cannot be opened'))],
  ['dev.shm', 'it is not mounted', withGuest('/dev/shm', broken('/dev/shm is no tmpfs'))],
  [
    'openrc.services',
    'a service is stopped',
    withGuest('rc-status', prints('network = started\nssh = stopped\n')),
  ],
  ['openrc.services', 'rc-status knows nothing', withGuest('rc-status', prints(''))],
  ['openrc.services', 'rc-status fails', withGuest('rc-status', broken('no'))],
  [
    'network.address',
    'the address is another',
    withGuest('address', prints('2: eth0 inet 10.0.2.16/24 x\n')),
  ],
  ['network.address', 'loopback is down', withGuest('address', prints('2: eth0 inet 10.0.2.15/24 x\n'))],
  ['network.address', 'the settings name none', withGuest('guest.conf', prints('hostname sql\n'))],
  ['network.route', 'there is none', withGuest('ip route', prints(''))],
  ['network.route', 'the gateway does not answer', withGuest('ping', broken(''))],
  ['network.lookup', 'the guest finds nothing', withGuest('nslookup', broken("can't resolve"))],
  [
    'network.lookup',
    'only the name server itself is told',
    withGuest('nslookup', prints('Server:\t10.0.2.3\nAddress:\t10.0.2.3:53\n\n** no answer\n')),
  ],
  ['tailnet.state', 'it is logged out', withGuest('tailnet status', prints('tailnet logged-out\n'))],
  ['tailnet.state', 'the guest says nothing of it', withGuest('tailnet status', broken('not found', 127))],
  [
    'tailnet.ports',
    'one is open that is not declared',
    withGuest('nft list', prints(tailnetRules(...declared, other))),
  ],
  ['tailnet.https', 'the handshake fails', withGuest('tailnet status', prints('https bad tls: expired\n'))],
  ['tailnet.ports', 'the declared one is closed', withGuest('nft list', prints(tailnetRules()))],
  ['tailnet.ports', 'there are no rules', withGuest('nft list', broken('No such file or directory'))],
  [
    'tailnet.ports',
    'the rest is let through',
    withGuest('nft list', prints(tailnetRules(...declared).replace(' drop', ''))),
  ],
  ['sql.initialised', 'there is no record', withGuest('sovereign.json', broken('No such file'))],
  ['sql.initialised', 'it never ended', withGuest('sovereign.json', prints('{"initialised":false}'))],
  [
    'sql.initialised',
    'checksums are off',
    standInContext({ database: standInDatabase({ data_checksums: 'off' }) }),
  ],
  ['sql.initialised', 'fsync is off', standInContext({ database: standInDatabase({ fsync: 'off' }) })],
  ['sql.query', 'the port is blocked', standInContext({ database: refusing() })],
  ['sql.query', 'what is written is lost', standInContext({ database: forgetful(standInDatabase()) })],
  ['data.kept', 'nothing was restarted', standInContext({ restart: () => Promise.resolve() })],
  [
    'data.kept',
    'the service does not come back',
    standInContext({ restart: () => Promise.reject(new Error('x')) }),
  ],
  ['data.kept', 'the row is lost by the restart', lostByRestart()],
];

describe('a check whose cause is taken away fails', () => {
  it.each(causes)('%s: %s', async (name, _cause, context) => {
    expect(await resultOf(name, context)).toMatchObject({ name, result: 'fail' });
  });

  it('in every case', () => {
    expect(new Set(causes.map(([name]) => name))).toEqual(new Set(names));
  });
});

describe('the look-up', () => {
  it('is skipped, with the reason, only where this machine resolves no name either', async () => {
    const nowhere = standInContext({ resolve: () => Promise.reject(new Error('ENOTFOUND')) });
    expect(await resultOf('network.lookup', nowhere)).toMatchObject({
      result: 'skip',
      detail: 'this machine resolves none of example.com either',
    });
  });

  it('takes the first name that this machine resolves', async () => {
    const context = standInContext({
      lookupNames: ['nowhere.invalid', 'example.com'],
      resolve: (name) =>
        name === 'example.com' ? Promise.resolve(['192.0.2.7']) : Promise.reject(new Error('x')),
    });
    expect(await resultOf('network.lookup', context)).toMatchObject({
      result: 'pass',
      detail: 'example.com is 192.0.2.7',
    });
  });
});

describe('HTTPS', () => {
  const says = (line: string) =>
    withGuest('tailnet status', prints(`tailnet running 100.64.0.1 sql-desk never n1\n${line}`));

  it.each([
    ['https on vault.example.org 2027-05-22T10:00:00Z own\n', 'pass', 'vault.example.org until 2027-05-22'],
    ['https bad tls: expired\n', 'fail', 'bad tls: expired'],
    ['https none\n', 'fail', 'there is no certificate'],
    ['', 'fail', 'says nothing of HTTPS'],
  ])('is asked of the guest: %j', async (line, result, detail) => {
    expect(await resultOf('tailnet.https', says(line))).toMatchObject({
      result,
      detail: expect.stringContaining(detail) as string,
    });
  });

  it('is no check of a service without', async () => {
    const plain = { ...definition, ports: definition.ports.slice(0, 1) };
    expect(await resultOf('tailnet.https', standInContext({ definition: plain }))).toMatchObject({
      result: 'skip',
    });
  });
});

describe('the tailnet', () => {
  it.each(['tailnet.state', 'tailnet.ports'])(
    '%s is skipped, with the reason, where it is off',
    async (name) => {
      const off = withGuest('guest.conf', prints('hostname sql\neth0-address 10.0.2.15/24\n'));
      expect(await resultOf(name, off)).toMatchObject({
        result: 'skip',
        detail: 'this device is in no tailnet',
      });
    },
  );
});

it('of a write: each run has a table of its own, which goes whatever the check finds', async () => {
  const seen: string[] = [];
  const database: CheckContext['database'] = {
    query: (sql) => {
      seen.push(sql);
      return sql.startsWith('insert') ? Promise.reject(new Error('disk full')) : Promise.resolve([]);
    },
  };
  for (let run = 0; run < 2; run++) {
    expect(await resultOf('sql.query', standInContext({ database }))).toMatchObject({ result: 'fail' });
  }
  const tables = (verb: string) =>
    seen.filter((sql) => sql.startsWith(verb)).map((sql) => /sovereign_check_\w+/.exec(sql)?.[0]);
  expect(new Set(tables('create')).size).toBe(2);
  expect(tables('drop')).toEqual(tables('create'));
});

function refusing(): CheckContext['database'] {
  return { query: () => Promise.reject(new Error('connect ECONNREFUSED')) };
}

function forgetful(database: ReturnType<typeof standInDatabase>): CheckContext['database'] {
  return {
    query: async (sql, values) => {
      const rows = await database.query(sql, values);
      database.rows.clear();
      return rows;
    },
  };
}

function lostByRestart(): CheckContext {
  const guest = standInGuest();
  const database = standInDatabase();
  return standInContext({
    guest,
    database,
    restart: () => {
      guest.boots += 1;
      database.rows.clear();
      return Promise.resolve();
    },
  });
}
