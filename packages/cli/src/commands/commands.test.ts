import { Readable } from 'node:stream';
import { SovereignError } from '@sovereign/report';
import { beforeEach, afterEach, describe, expect, it, vi } from 'vitest';
import type { Flags } from '../flags.ts';
import { service } from '../testing/services.ts';
import { fakeDevice, fakeSession, status as state } from '../testing/session.ts';
import { connect, passLine, withPassword } from './connect.ts';
import { devices } from './devices.ts';
import { doctor } from './doctor.ts';
import { restart, rollback, start, stop } from './lifecycle.ts';
import { logs } from './logs.ts';
import { remove } from './remove.ts';
import { resize } from './resize.ts';
import { listSecrets, rotateSecrets, setSecret, showSecret } from './secrets.ts';
import { status } from './status.ts';
import { howToConnect } from './up.ts';

// Installs nothing here.
vi.mock('../system.ts', async (original) => ({
  ...(await original<typeof import('../system.ts')>()),
  provideTools: () => Promise.resolve(),
}));

let said: string;

beforeEach(() => {
  said = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    said += String(text);
    return true;
  });
});
afterEach(() => vi.restoreAllMocks());

describe('start, stop, restart, rollback', () => {
  it('start waits for health, as long as the definition or --timeout says', async () => {
    const device = fakeDevice();
    await start(fakeSession({ device }).session);
    await start(fakeSession({ device, flags: { timeout: 7 } }).session);
    expect(device.did).toEqual(['start sql', 'wait sql 30', 'start sql', 'wait sql 7']);
  });

  it('name the device before they change it', async () => {
    const device = fakeDevice({ stop: () => Promise.reject(new Error(said)) });
    await expect(stop(fakeSession({ device }).session)).rejects.toThrow(
      /^note: device: local \(this machine\)\n/,
    );
  });

  it('restart stops first', async () => {
    const device = fakeDevice();
    const result = await restart(fakeSession({ device }).session);
    expect(device.did).toEqual(['stop sql 60', 'start sql', 'wait sql 30']);
    expect(result.json).toMatchObject({ devices: [{ id: 'local', services: [{ name: 'sql' }] }] });
  });

  it('an unhealthy service is an error with exit 3', async () => {
    const unhealthy = new SovereignError({ code: 'not-healthy', what: 'no', exit: 3 });
    const device = fakeDevice({ waitHealthy: () => Promise.reject(unhealthy) });
    await expect(start(fakeSession({ device }).session)).rejects.toBe(unhealthy);
  });

  it('waiting ends at once when it is interrupted', async () => {
    const controller = new AbortController();
    const device = fakeDevice({ waitHealthy: () => new Promise(() => controller.abort()) });
    await expect(start(fakeSession({ device, signal: controller.signal }).session)).rejects.toThrow(
      'aborted',
    );
  });

  it('rollback names both releases, and waits for the one before where it runs', async () => {
    const device = fakeDevice();
    const { text, json } = await rollback(fakeSession({ device }).session);
    expect(device.did).toEqual(['rollback sql', 'wait sql 30']);
    expect(text).toBe('sql went back from release ffffffffffff to eeeeeeeeeeee');
    expect(json).toMatchObject({ service: 'sql', from: 'f'.repeat(64) });
  });

  it('rollback of what does not run waits for nothing', async () => {
    const device = fakeDevice({ status: () => Promise.resolve([state({ state: 'stopped' })]) });
    await rollback(fakeSession({ device }).session);
    expect(device.did).toEqual(['rollback sql']);
  });

  it('resize asks the device, and waits where it started the service again', async () => {
    const device = fakeDevice();
    const { text, json } = await resize(fakeSession({ device, words: ['8G'] }).session);
    expect(device.did).toEqual([`resize sql ${2 ** 33}`, 'wait sql 30']);
    expect(text).toBe('the data disk of sql has 8G');
    expect(json).toEqual({ device: 'local', service: 'sql', from: 2 ** 31, to: 2 ** 33 });
  });

  it.each(['8', '0G', '-1G', '1.5G', '8T', '', '8 G', '99999999G'])(
    'resize to %j is a wrong command line',
    async (size) => {
      const device = fakeDevice();
      const { session } = fakeSession({ device, words: [size] });
      await expect(resize(session)).rejects.toMatchObject({ code: 'bad-size', exit: 2 });
      expect(device.did).toEqual([]);
    },
  );

  it('resize --dry-run does nothing', async () => {
    const device = fakeDevice();
    const { json } = await resize(fakeSession({ device, words: ['512M'], flags: { dryRun: true } }).session);
    expect(device.did).toEqual([]);
    expect(json).toEqual({ plan: ['grow the data disk of sql on local to 512M'] });
  });

  it.each([
    ['start', start],
    ['stop', stop],
    ['restart', restart],
    ['rollback', rollback],
    ['remove', remove],
  ])('%s --dry-run does nothing', async (_, run) => {
    const device = fakeDevice();
    const { json } = await run(fakeSession({ device, flags: { dryRun: true } }).session);
    expect(device.did).toEqual([]);
    expect(json).toHaveProperty('plan');
  });
});

describe('status', () => {
  const exitOf = async (service: Parameters<typeof state>[0], named = true) => {
    const device = fakeDevice({ status: () => Promise.resolve([state(service)]) });
    return (await status(fakeSession({ device, named }).session)).exit;
  };

  it('of a service is 0 only where it is healthy; unknown is not', async () => {
    expect(await exitOf({ healthy: true })).toBe(0);
    expect(await exitOf({ healthy: false })).toBe(3);
    expect(await exitOf({ healthy: null })).toBe(3);
  });

  it('without a service is a glance', async () => {
    expect(await exitOf({ healthy: false }, false)).toBe(0);
  });

  it('of a device that is not reached is 4, and says so', async () => {
    const device = fakeDevice({
      status: () => Promise.reject(new SovereignError({ code: 'x', what: 'gone' })),
    });
    const { exit, json, text } = await status(fakeSession({ device }).session);
    expect(exit).toBe(4);
    expect(json).toEqual({ devices: [{ id: 'local', kind: 'local', reachable: false, services: [] }] });
    expect(text).toContain('not reached');
    expect(said).toContain('gone');
  });

  it('tells what is free on the data disk, and of a thin one what it takes of the device', async () => {
    const free = { size: 2 ** 31, free: 1500 * 2 ** 20 };
    for (const [data, told] of [
      [free, /data: 1500 MiB free of 2G$/m],
      [{ ...free, thin: 300 * 2 ** 20 }, /data: 1500 MiB free of 2G; thin, takes 300 MiB of the device$/m],
    ] as const) {
      const device = fakeDevice({ status: () => Promise.resolve([state({ data })]) });
      expect((await status(fakeSession({ device }).session)).text).toMatch(told);
    }
  });

  it('tells a person release, restarts, addresses and what needs attention', async () => {
    const device = fakeDevice({
      status: () => Promise.resolve([state({ restarts: 2, trial: true, attention: 'rolled back' })]),
    });
    const { text } = await status(fakeSession({ device }).session);
    expect(text).toMatch(/sql +running, healthy/);
    expect(text).toContain(
      'release abababababab in slot a on trial, since 2026-11-23T10:00:00Z, restarts: 2',
    );
    expect(text).toContain('main: postgresql://postgres@127.0.0.1:15432/postgres');
    expect(text).toContain('! rolled back');
  });
});

describe('up ends', () => {
  it('with how to connect, and no password', () => {
    const { services } = fakeSession().session;
    const document = {
      devices: [{ id: 'local', kind: 'local' as const, reachable: true, services: [state()] }],
    };
    const text = howToConnect({ id: 'local' }, services, document);
    expect(text).toContain('sql is healthy on local');
    expect(text).toContain('postgresql://postgres@127.0.0.1:15432/postgres');
    expect(text).toContain('./sovereign connect sql');
    expect(text).toContain('./sovereign secrets show sql postgres-password');
  });

  it('without the name of a password that no person types', () => {
    const needing = service('vaultwarden', 3);
    const own = needing.definition.secrets.map((secret) => ({ ...secret, name: 'role-password' }));
    const definition = {
      ...needing.definition,
      secrets: [...needing.definition.secrets, ...own],
      needs: [{ service: 'sql', database: { name: 'vault', secret: 'role-password' } }],
    };
    const text = howToConnect({ id: 'local' }, [{ ...needing, definition }], { devices: [] });
    expect(text).toContain('secrets show vault postgres-password');
    expect(text).not.toContain('role-password');
  });
});

describe('connect', () => {
  it('prints the address with its credentials where asked', async () => {
    const { text } = await connect(fakeSession({ own: { print: true } }).session);
    expect(text).toBe('postgresql://postgres:s3%3Acr%5Cet@127.0.0.1:15432/postgres');
  });

  it('has nothing to open where the service does not run', async () => {
    const device = fakeDevice({ status: () => Promise.resolve([state({ state: 'stopped' })]) });
    await expect(connect(fakeSession({ device }).session)).rejects.toMatchObject({
      code: 'not-running',
      exit: 3,
    });
  });

  it('writes the password file as PostgreSQL reads it', () => {
    expect(passLine('postgresql://postgres@127.0.0.1:15432/postgres', 'a:b\\c')).toBe(
      '127.0.0.1:15432:*:postgres:a\\:b\\\\c\n',
    );
  });

  it('leaves an address without a password as it is', () => {
    expect(withPassword('http://127.0.0.1:1/x', undefined)).toBe('http://127.0.0.1:1/x');
  });
});

describe('secrets', () => {
  it('show prints the value alone, to a terminal', async () => {
    const { session } = fakeSession({ words: ['postgres-password'], tty: true });
    expect((await showSecret(session)).text).toBe('s3:cr\\et');
  });

  it('show takes the only one where none is named', async () => {
    const { json } = await showSecret(fakeSession({ tty: true }).session);
    expect(json).toMatchObject({ name: 'postgres-password' });
  });

  it.each([{ json: false }, { json: true }])('show prints to no file without --yes: %o', async (flags) => {
    const device = fakeDevice({ secret: () => Promise.reject(new Error('was asked for')) });
    await expect(showSecret(fakeSession({ device, flags }).session)).rejects.toMatchObject({
      code: 'no-terminal',
      exit: 2,
      hint: 'Add --yes where that is meant, as in a script',
    });
    expect((await showSecret(fakeSession({ flags: { ...flags, yes: true } }).session)).text).toBe(
      's3:cr\\et',
    );
  });

  it('show offers the nearest name', async () => {
    await expect(showSecret(fakeSession({ words: ['postgres-pasword'] }).session)).rejects.toMatchObject({
      exit: 2,
      hint: 'Did you mean postgres-password?',
    });
  });

  it('list holds no value', async () => {
    const { json, text } = await listSecrets(fakeSession().session);
    expect(JSON.stringify(json)).not.toContain('s3');
    expect(text?.split('\n')[0]).toBe('postgres-password  made  of the superuser');
    expect(json).toMatchObject({
      device: 'local',
      secrets: [{ name: 'postgres-password', state: 'made', pending: false }, { name: 'heartbeat' }],
    });
  });

  it('set reads the value from standard input, without its line end', async () => {
    const device = fakeDevice();
    const { session, out, err } = fakeSession({ device, words: ['postgres-password'] });
    session.streams.in = Readable.from(['my own one\n']) as unknown as NodeJS.ReadStream;
    const { json, text } = await setSecret(session);
    expect(device.did).toEqual(['set sql "postgres-password" "my own one"']);
    expect(json).toEqual({ device: 'local', service: 'sql', name: 'postgres-password', applied: 'live' });
    expect(text).toBe('postgres-password is set; sql goes on with it');
    expect([JSON.stringify(json), text, out(), err()].join()).not.toContain('my own');
  });

  it('rotate changes all, or the one that is named', async () => {
    const device = fakeDevice();
    const { text } = await rotateSecrets(fakeSession({ device }).session);
    await rotateSecrets(fakeSession({ device, words: ['postgres-password'] }).session);
    expect(device.did).toEqual(['rotate sql ', 'rotate sql "postgres-password"']);
    expect(text).toBe('new value: postgres-password\nsql goes on with it');
  });

  it.each([
    ['set', setSecret],
    ['rotate', rotateSecrets],
  ])('%s --dry-run does nothing', async (_, run) => {
    const device = fakeDevice();
    const { json } = await run(fakeSession({ device, flags: { dryRun: true } }).session);
    expect(device.did).toEqual([]);
    expect(json).toHaveProperty('plan');
  });
});

describe('remove', () => {
  it('keeps the data, and asks before it begins', async () => {
    const device = fakeDevice();
    await expect(remove(fakeSession({ device }).session)).rejects.toMatchObject({ code: 'not-confirmed' });
    expect(device.did).toEqual([]);
    await remove(fakeSession({ device, flags: { yes: true } }).session);
    expect(device.did).toEqual(['remove sql {"data":false}']);
  });

  it('takes data only by its own flag, and asks before it begins', async () => {
    const device = fakeDevice();
    const asked = (yes: boolean) =>
      remove(fakeSession({ device, own: { data: true }, flags: { yes } }).session);
    await expect(asked(false)).rejects.toMatchObject({ code: 'not-confirmed' });
    expect(device.did).toEqual([]);
    await asked(true);
    expect(device.did).toEqual(['remove sql {"data":true}']);
  });

  it('takes what is typed on a terminal', async () => {
    const device = fakeDevice();
    const { session, err } = fakeSession({ device, own: { data: true }, tty: true });
    const removing = remove(session);
    await expect.poll(() => err()).toContain('Type sql to go on');
    session.streams.in.push('sql\n');
    await removing;
    expect(device.did).toEqual(['remove sql {"data":true}']);
  });
});

describe('logs', () => {
  it('writes line by line, or one document', async () => {
    const { session, out } = fakeSession({ own: { boot: true } });
    await logs(session);
    expect(out()).toBe('sql first boot\nsecond\n');
    expect((await logs(fakeSession({ flags: { json: true } }).session)).json).toMatchObject({
      lines: ['sql first log', 'second'],
    });
  });

  it('cannot follow into one document', async () => {
    const { session } = fakeSession({ own: { follow: true }, flags: { json: true } });
    await expect(logs(session)).rejects.toMatchObject({ exit: 2 });
  });
});

describe('devices and doctor', () => {
  it('say what each device can do', async () => {
    const { json, text } = await devices(fakeSession().session);
    expect(json).toMatchObject({
      devices: [{ id: 'local', kind: 'local', probes: [{ name: 'qemu', ok: true }] }],
    });
    expect(text).toContain('ok      qemu: /usr/bin/qemu');
  });

  it('doctor fails where something is missing, and names the cure', async () => {
    const probe = () => Promise.resolve([{ name: 'qemu', ok: false, evidence: 'none', cure: 'install it' }]);
    const { exit, text } = await doctor(fakeSession({ device: fakeDevice({ probe }) }).session);
    expect(exit).toBe(1);
    expect(text).toMatch(/missing qemu: none\n +install it/);
  });

  it('doctor --fix sets on the device that was named, when its owner agrees, and on no other', async () => {
    const fixed = async (flags: Partial<Flags>) => {
      const device = fakeDevice({ fixable: () => Promise.resolve(['the killer is off']) });
      const { session } = fakeSession({ device, own: { fix: true }, flags: { install: false, ...flags } });
      await doctor(session);
      return device.did;
    };
    expect(await fixed({ serial: 'phone', yes: true })).toEqual(['fix']);
    expect(await fixed({ yes: true })).toEqual([]);
    await expect(fixed({ serial: 'phone' })).rejects.toMatchObject({ code: 'not-confirmed', on: 'doctor' });
  });

  it('doctor --fix asks for nothing where nothing is to be set', async () => {
    const device = fakeDevice();
    const { session } = fakeSession({
      device,
      own: { fix: true },
      flags: { install: false, serial: 'phone' },
    });
    await doctor(session);
    expect(device.did).toEqual([]);
  });

  it('a device that cannot be asked is missing, not forgotten', async () => {
    const probe = () =>
      Promise.reject(new SovereignError({ code: 'x', what: 'no answer', hint: 'plug it in' }));
    const { exit, text } = await doctor(fakeSession({ device: fakeDevice({ probe }) }).session);
    expect(exit).toBe(1);
    expect(text).toMatch(/missing reachable: no answer\n +plug it in/);
  });
});
