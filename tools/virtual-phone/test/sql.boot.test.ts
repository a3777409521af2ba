import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toSovereignError } from '@sovereign/report';
import { releaseId } from '@sovereign/service';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { whileBuilt } from '../src/built.ts';
import { expectClosedToNeighbours, expectClosedToUplink } from './closed.ts';
import { documentOf, ownSettings, Phone, PhoneService, psql, sovereign, waiting } from './phone.ts';

const settings = ownSettings();
const folder = mkdtempSync(join(tmpdir(), 'sovereign-releases-'));
let phone: Phone;
let sql: PhoneService;
/** What is current on the phone. */
let deployed: PhoneService['bundle'];

const kept = async (): Promise<void> =>
  expect(await sql.query('select value from kept')).toEqual([{ value: 'a row' }]);

beforeAll(async () => {
  phone = await Phone.start('sql-test');
  // What a predecessor left on this phone is nobody's business.
  await phone.shell('mkdir -p /data/sovereign/vm/sql && echo old >/data/sovereign/vm/sql/start.sh');
  expect(documentOf(await sovereign('up', '--sql', '--yes', ...waiting(phone)))).toMatchObject({
    devices: [{ id: phone.serial, services: [{ name: 'sql', state: 'running', healthy: true }] }],
  });
  await psql(phone, "create table kept as select 'a row' as value");
  // What the command built and put there.
  sql = await PhoneService.on(phone);
  deployed = sql.bundle;
});

afterAll(async () => {
  await phone.stop();
  settings.remove();
  rmSync(folder, { recursive: true, force: true });
});

test('a service on a phone has the first address over vsock and answers psql over the forwarded port', async () => {
  expect(await psql(phone, 'select value from kept')).toBe('a row');
  expect(await sql.inGuest('ip', '-4', 'address', 'show', 'eth0')).toContain('inet 192.168.127.2/24');
  expect(await sql.inGuest('ip', 'route')).toContain('default via 192.168.127.1 dev eth0');
  expect(await sql.status()).toMatchObject({ healthy: true, slot: 'a', trial: false });
});

test('deploying the same release sends nothing and changes nothing', async () => {
  expect(await sql.device.deploy(sql.bundle)).toMatchObject({ changed: false, bytesSent: 0 });
});

test('nothing of the guest is reached from a network that the phone is in', () => expectClosedToUplink(sql));

test('under load the uplink changes: what comes in goes on, and what goes out goes by the new one', async () => {
  const over = new AbortController();
  const answered: unknown[] = [];
  const load = (async () => {
    while (!over.signal.aborted)
      answered.push(await sql.query('select count(*)::int as rows from generate_series(1, 10000)'));
  })();
  const request = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 10.174.7.1 80";
  await sql.inGuest(
    ...['sh', '-c'],
    `: >/run/load; for n in 1 2 3 4; do while [ -e /run/load ]; do ${request}; done; done </dev/null >/dev/null 2>&1 &`,
  );
  const { '- gvproxy': gvproxy } = await sql.told();
  for (const uplink of ['wlan0', 'v4-rmnet0']) {
    await phone.run('uplink', uplink);
    const [, own = uplink] =
      /inet ([\d.]+)/.exec(await phone.shell(`ip -4 -o address show dev ${uplink}`)) ?? [];
    await expect
      .poll(() => sql.inGuest('sh', '-c', `${request} || :`), { timeout: 60_000, interval: 500 })
      .toContain(`asked by ${own}`);
    const before = answered.length;
    await expect.poll(() => answered.length, { timeout: 60_000 }).toBeGreaterThan(before);
  }
  over.abort();
  await load;
  await sql.inGuest('rm', '/run/load');
  expect(new Set(answered.map((rows) => JSON.stringify(rows)))).toEqual(new Set(['[{"rows":10000}]']));
  expect((await sql.told())['- gvproxy']).toBe(gvproxy);
});

test('a port that is not declared is not reached from a neighbour', { timeout: 600_000 }, () =>
  expectClosedToNeighbours(sql),
);

describe('what is killed comes back', () => {
  /** Kills processes that the launcher's status names, and waits until it names others. */
  async function kill(
    ...keys: string[]
  ): Promise<{ before: Record<string, string>; after: Record<string, string> }> {
    const before = await sql.told();
    const pids = keys.map((key) => before[key]);
    expect(pids).not.toContain(undefined);
    await phone.shell(`kill -9 ${pids.join(' ')}`);
    const after = await sql.until(`another ${keys.join(', ')}`, (told) =>
      keys.every((key) => told[key] !== undefined && told[key] !== before[key]),
    );
    return { before, after };
  }

  test('the virtual machine', async () => {
    await kill('sql pid');
    await sql.healthy();
    await kept();
  });

  test('the launcher, and the machine goes on', async () => {
    const { before, after } = await kill('sql launcher');
    expect(after['sql pid']).toBe(before['sql pid']);
    await sql.healthy();
    await kept();
  });

  test('the network program', async () => {
    await kill('- gvproxy');
    await expect
      .poll(() => sql.query('select 1 as one').catch(String), { timeout: 240_000, interval: 500 })
      .toEqual([{ one: 1 }]);
    await kept();
  });

  test('keeper, launcher, network and machine at once, by the next start', async () => {
    const {
      '- keeper': keeper,
      'sql launcher': launcher,
      '- gvproxy': gvproxy,
      'sql pid': vm,
    } = await sql.told();
    await phone.shell(`kill -9 ${keeper} ${launcher} ${gvproxy} ${vm}`);
    await sql.device.start(sql.definition);
    await sql.healthy();
    await kept();
  });
});

test('adb that goes away during a deploy is told, the service goes on, and the next deploy ends it', async () => {
  let next = await sql.padded(folder);
  const cuts: unknown[] = [];
  const moments = [100, 300, 600];
  // On a busy machine a cut may come after the end: then there are more, until one came before it.
  for (
    let round = 0;
    round < moments.length || (round < 12 && cuts.every((end) => end === 'done'));
    round++
  ) {
    if (cuts.at(-1) === 'done') next = await sql.padded(folder);
    const cut = sleep(moments[round % moments.length]).then(() => phone.run('unplug'));
    cuts.push(await sql.device.deploy(next).then(() => 'done', toSovereignError));
    await cut;
    expect(await sql.told()).toMatchObject({ 'sql health': 'ok', 'sql slot': 'a' });
    await phone.run('plug');
  }
  expect(cuts).toContainEqual(expect.objectContaining({ exit: 4 }));
  await sql.device.deploy(next);
  await sql.device.start(sql.definition);
  await sql.healthy();
  expect(await sql.status()).toMatchObject({ release: releaseId(next.release), slot: 'b', trial: false });
  deployed = next;
  await kept();
});

/** Leaves so many MiB of /data free; blocks of 4096 bytes make 256 a MiB. */
const fillUpTo = (free: number): Promise<string> =>
  phone.shell(`fallocate -l $(($(stat -f -c %a /data) / 256 - ${free}))m /data/filler`);

test('a second release on a phone that is nearly full is refused before the first byte, and the service goes on', async () => {
  const next = await sql.padded(folder);
  const before = await phone.shell('ls /data/sovereign/store');
  await fillUpTo(520);
  await expect(sql.device.deploy(next)).rejects.toMatchObject({ code: 'no-space' });
  expect(await sql.told()).toMatchObject({ 'sql health': 'ok', 'sql state': 'running' });
  await phone.shell('rm /data/filler');
  expect(await phone.shell('ls /data/sovereign/store')).toBe(before);
  expect(await sql.status()).toMatchObject({ trial: false, release: releaseId(deployed.release) });
  await kept();
});

test('a service on a phone that is nearly full stops cleanly, says so, and comes back when there is room', async () => {
  await fillUpTo(300);
  const full = await sql.until('the service to stop', (told) => told['sql state'] === 'failed');
  expect(full['sql attention']).toContain('host full');
  expect(full['sql exit']).toBe('0');
  await expect(sql.device.deploy(await sql.padded(folder))).rejects.toMatchObject({ code: 'no-space' });
  await phone.shell('rm /data/filler');
  await sql.healthyThere();
  await kept();
});

test('a file that is damaged on the phone is found before the start and sent again', async () => {
  await sql.device.stop(sql.definition, 60);
  const stored = `/data/sovereign/store/${deployed.release.kernel.sha256}`;
  await phone.shell(`printf x 1<>${stored}`);
  await expect(sql.device.start(sql.definition)).rejects.toMatchObject({ code: 'damaged-store' });
  const { bytesSent } = await whileBuilt(() => sql.device.deploy(deployed));
  expect(bytesSent).toBe(deployed.release.kernel.size);
  await sql.device.start(sql.definition);
  await sql.healthy();
  await kept();
});

test('after a restart of the phone the service is back without the workstation', async () => {
  await phone.run('unplug');
  await phone.run('reboot');
  await sql.healthyThere();
  await phone.run('plug');
  await kept();
});

test('rounds of start and stop leave rules, interfaces and processes as they were', async () => {
  await sql.device.stop(sql.definition, 60);
  const rounds = process.env.SOVEREIGN_LONG === '1' ? 20 : 3;
  // The shell that waited for the VM goes once the launcher has seen the end.
  const patient = { timeout: 60_000 };
  await expect.poll(left, patient).not.toContainEqual(expect.stringContaining('launch.sh'));
  // With it goes what it had started: nothing changes any more.
  let before: string[] = [];
  const settled = async () => {
    const earlier = before;
    before = await left();
    return before.join() === earlier.join();
  };
  await expect.poll(settled, patient).toBe(true);
  for (let round = 0; round < rounds; round++) {
    await sql.device.start(sql.definition);
    await sql.healthy();
    await sql.device.stop(sql.definition, 60);
  }
  await expect.poll(left, patient).toEqual(before);
});

test('removing the last service takes back what was set, and nothing else', async () => {
  await sql.device.remove(sql.definition, { data: true });
  expect((await phone.shell('ls /data/sovereign')).trim()).toBe('vm');
  expect(await phone.shell('cat /data/sovereign/vm/sql/start.sh')).toContain('old');
  expect((await phone.shell('ls /data/adb/service.d')).trim()).toBe('');
});

/** What a service could leave behind on a phone: rules, interfaces and processes, but for those that look. */
async function left(): Promise<string[]> {
  const processes = (await phone.shell('ps -A -o ARGS')).split('\n').map((line) => line.trim());
  const own = /^(ps |sleep |sh -c )/;
  return [
    ...(await phone.rules()),
    processes
      .filter((line) => !own.test(line))
      .toSorted()
      .join('\n'),
  ];
}
