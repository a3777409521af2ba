import { afterAll, beforeAll, expect, test } from 'vitest';
import { Lab } from '../src/lab.ts';
import { SqlAtHome } from './service.ts';

/** The layers of a diagnosis that only a real tailnet has; the others are packages/rootfs-sql's. One guest for all. */
let lab: Lab;
let sql: SqlAtHome;

/** For conditions that come by themselves on a machine that has other work; in milliseconds. */
const PATIENT = { timeout: 180_000, interval: 1000 };

beforeAll(async () => {
  lab = await Lab.start();
  sql = new SqlAtHome(lab);
  await lab.laptop.up(lab.server.url, await lab.server.key());
  await sql.up((await sql.keyFile()).file);
  await sql.reachable();
}, 900_000);

afterAll(() => lab.remove());

interface Told {
  ok: boolean;
  failed: string | null;
  layers: { name: string; result: string; evidence: string; fixed?: string }[];
}

async function diagnose(...flags: string[]): Promise<Told & { status: number }> {
  const { status, stdout, stderr } = await lab.sovereign([
    ...['diagnose', 'sql', '-s', 'local', '--json', ...flags],
  ]);
  try {
    return { status, ...(JSON.parse(stdout) as Told) };
  } catch {
    throw new Error(`diagnose ended with ${status}: ${stdout}${stderr}`);
  }
}

/** Waits until a layer is named: what breaks it may take a moment to be felt. */
async function expectNamed(layer: string, evidence: RegExp): Promise<Told> {
  let last: (Told & { status: number }) | undefined;
  await expect
    .poll(async () => {
      last = await diagnose();
      return `${last.status} ${last.failed ?? 'none'}: ${last.layers.at(-1)?.evidence ?? ''}`;
    }, PATIENT)
    .toMatch(new RegExp(`^3 ${layer}: .*${evidence.source}`));
  if (last === undefined) throw new Error('nothing was asked');
  return last;
}

async function expectWell(): Promise<Told> {
  let last: (Told & { status: number }) | undefined;
  await expect
    .poll(async () => {
      last = await diagnose();
      return `${last.failed ?? 'none'}: ${last.layers.at(-1)?.evidence ?? ''}`;
    }, PATIENT)
    .toMatch(/^none/);
  if (last === undefined) throw new Error('nothing was asked');
  return last;
}

test('every layer is asked and well, a ping to the laptop included', async () => {
  const { layers } = await expectWell();
  expect(layers.filter(({ result }) => result !== 'ok')).toEqual([]);
  expect(layers.find(({ name }) => name === 'peers')?.evidence).toMatch(/^laptop: pong from laptop/);
});

test('tailscaled that is gone for good is named, and started again', async () => {
  await sql.inGuest('rc-service tailnet stop');
  await expectNamed('tailscaled', /failed to connect|running/);
  const { layers } = await diagnose('--fix');
  expect(layers.at(-1)?.name, JSON.stringify(layers, null, 1)).not.toBe('agent');
  expect(layers.find(({ name }) => name === 'tailscaled')).toMatchObject({
    result: 'ok',
    fixed: expect.stringContaining('tailscaled') as string,
  });
  await expectWell();
});

test('name servers that do not answer the guest are named, and set again', async () => {
  await sql.inGuest('echo nameserver 192.0.2.1 >/run/resolv.conf');
  await expectNamed('lookup', /is not known to/);
  const { layers } = await diagnose('--fix');
  expect(layers.find(({ name }) => name === 'lookup')).toMatchObject({
    result: 'ok',
    fixed: expect.stringContaining('name servers') as string,
  });
  await expectWell();
});

test('a firewall whose rules for the tailnet are not those of the definition', async () => {
  await sql.inGuest('nft flush chain inet sovereign tailnet');
  await expectNamed('port', /other rules for the tailnet/);
  await sql.inGuest('. /usr/lib/sovereign/common.sh; . /usr/lib/sovereign/firewall.sh; firewall open');
  await expectWell();
});

test('a tailnet in which nobody else is', async () => {
  await lab.laptop.stop();
  await expectNamed('peers', /(laptop does not answer|none is online: laptop)/);
  await lab.laptop.start();
  await expectWell();
});

test('an uplink that is cut, for the guest and its workstation', async () => {
  await lab.line('home', 'down');
  await expectNamed('uplink', /nothing outside is reached/);
  await lab.line('home', 'up');
  await expectWell();
});

/** Last: it takes the node away. */
test('a node that was logged out', async () => {
  const { status, stderr } = await lab.sovereign(['tailnet', 'logout', 'sql', '-s', 'local', '--yes']);
  expect(status, stderr).toBe(0);
  await expectNamed('login', /(logged out|nobody has logged)/);
});
