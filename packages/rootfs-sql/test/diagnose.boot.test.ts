import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { mirrorHosts } from '@sovereign/base';
import { databaseOf } from '@sovereign/checks';
import { execInGuest, localDevice } from '@sovereign/device';
import {
  diagnose,
  diagnoseScene,
  Scene,
  thisWorkstation,
  type Diagnosis,
  type LayerName,
  type Target,
} from '@sovereign/diagnose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestService } from './service.ts';

/** Seconds from a start to health, on a machine that has other work. */
const HEALTHY = 280;
/** For conditions that come by themselves under emulation, on a machine that has other work; in milliseconds. */
const PATIENT = { timeout: 240_000, interval: 500 };

let service: TestService;
/** Takes connections and says nothing, on an address of this machine that a guest reaches: no packet leaves. */
const outside = createServer();
let target: Target & { address: string };

beforeAll(async () => {
  service = await TestService.prepare();
  await up();
  const own = Object.values(networkInterfaces())
    .flat()
    .find((seen) => seen?.family === 'IPv4' && !seen.internal);
  outside.listen(0, own?.address ?? '127.0.0.1');
  await once(outside, 'listening');
  const { address, port } = outside.address() as AddressInfo;
  target = { host: (await mirrorHosts())[0] ?? 'example.com', port, address };
});

async function up(): Promise<void> {
  await service.device.deploy(service.bundle);
  await service.device.start(service.definition);
  await service.device.waitHealthy(service.definition, HEALTHY);
}

afterAll(async () => {
  outside.close();
  await service.remove();
});

function ask(fix: boolean): Promise<Diagnosis> {
  const { device, definition } = service;
  return diagnoseScene(
    new Scene({
      device,
      definition,
      database: databaseOf(device, definition),
      workstation: { ...thisWorkstation, resolve: () => Promise.resolve(target.address) },
      targets: () => Promise.resolve([target]),
    }),
    { fix },
  );
}

async function inGuest(script: string): Promise<{ status: number; stdout: string }> {
  return execInGuest(await service.device.ssh(service.definition), ['sh', '-c', script]);
}

/** For what cuts the connection that it comes through. */
const inGuestLater = (script: string) => inGuest(`(sleep 1; ${script}) >/dev/null 2>&1 </dev/null &`);

const result = (diagnosis: Diagnosis, name: LayerName) =>
  diagnosis.layers.find((layer) => layer.name === name);

/** Waits until a layer is named: what breaks it may take a moment. `again` breaks it, where something else mends it. */
async function expectNamed(
  layer: LayerName,
  evidence: RegExp,
  again?: () => Promise<unknown>,
): Promise<Diagnosis> {
  let last: Diagnosis | undefined;
  await expect
    .poll(async () => {
      await again?.();
      last = await ask(false);
      return `${last.failed ?? 'none'}: ${last.layers.at(-1)?.evidence ?? ''}`;
    }, PATIENT)
    .toMatch(new RegExp(`^${layer}: .*${evidence.source}`));
  if (last === undefined) throw new Error('nothing was asked');
  return last;
}

/** `--fix` cures it: the layer is well afterwards. */
async function expectCured(layer: LayerName): Promise<void> {
  const after = await ask(true);
  expect(result(after, layer), JSON.stringify(after, null, 1)).toMatchObject({
    result: 'ok',
    fixed: expect.any(String) as string,
  });
}

/** The same, and all above it is well too. */
async function expectFixed(layer: LayerName): Promise<void> {
  await expectCured(layer);
  await expectWell();
}

async function expectWell(): Promise<void> {
  await expect.poll(async () => (await ask(false)).failed, PATIENT).toBe(null);
}

const state = (name: string) => service.file(`state/${name}`);
const pidIn = (name: string): number => Number(readFileSync(state(name), 'utf8'));

test('everything is well, and what does not apply is said so', async () => {
  const diagnosis = await ask(false);
  expect(diagnosis, JSON.stringify(diagnosis, null, 1)).toMatchObject({ ok: true, failed: null });
  const skipped = diagnosis.layers.filter((layer) => layer.result === 'skipped').map(({ name }) => name);
  expect(skipped.filter((name) => name !== 'lookup' && name !== 'uplink')).toEqual([
    'tailscaled',
    'login',
    'peers',
    'https',
  ]);
});

test('a device without the service', async () => {
  const diagnosis = await diagnose(localDevice(join(service.folder, 'another')), service.definition);
  expect(diagnosis).toMatchObject({ ok: false, failed: 'device', reached: true });
});

describe('in the guest', () => {
  test('PostgreSQL that is stopped in its tracks: the port is there, no answer comes', async () => {
    await inGuest('kill -STOP $(pidof postgres)');
    await expectNamed('request', /(no answer|timeout|bad)/);
    await inGuest('kill -CONT $(pidof postgres)');
    await expectWell();
  });

  test('PostgreSQL that does not listen', async () => {
    await inGuest('rc-service postgresql stop');
    await expectNamed('port', /nobody listens in the guest: postgres \(5432\)/);
    await inGuest('rc-service postgresql start');
    await expectWell();
  });

  test('an uplink that is cut: name servers are silent too, and the uplink is named', async (task) => {
    if (target.address === '127.0.0.1') task.skip('this machine has no address that a guest could reach');
    await inGuest('nft insert rule inet sovereign output oifname eth0 ip daddr != 10.0.2.2 drop');
    const { layers } = await expectNamed('uplink', /is not reached/);
    expect(layers.find(({ name }) => name === 'lookup')).toMatchObject({ result: 'skipped' });
    await inGuest('. /usr/lib/sovereign/common.sh; . /usr/lib/sovereign/firewall.sh; firewall open');
    await expectWell();
  });

  test('a resolver that is broken', async (task) => {
    if (result(await ask(false), 'lookup')?.result !== 'ok') task.skip('no name is resolved here');
    await inGuest('echo nameserver 127.0.0.1 >/run/resolv.conf');
    await expectNamed('lookup', /is not known to/);
    await expectFixed('lookup');
  });

  test('a default route that is gone', async () => {
    await inGuestLater('ip route del default');
    await expectNamed('route', /no default route by 10\.0\.2\.2: there is none/);
    await expectFixed('route');
  });

  test('an address that is gone, and SSH with it', async () => {
    await inGuestLater('ip address del 10.0.2.15/24 dev eth0');
    await expectNamed('address', /10\.0\.2\.15\/24 on eth0/);
    await expectFixed('address');
  });

  test('an interface that is down, and SSH with it', async () => {
    await inGuestLater('ip link set eth0 down');
    await expectNamed('link', /eth0 is down/);
    await expectFixed('link');
  });

  test('a clock in 1970', async () => {
    // What tells the device the guest's time is held, or it would be set before anybody asks. It also tells the health,
    // and a guest that does not is silent: a stand-in tells that.
    await inGuest(`read -r _ watch </run/sovereign/helpers && kill -STOP $watch
      . /usr/lib/sovereign/common.sh; : >/run/watch-held
      while [ -e /run/watch-held ]; do tell health ok; sleep 2; done </dev/null >/dev/null 2>&1 &`);
    // A launcher that was held up takes it that the device slept, and sets the clock as well.
    const setBack = () => inGuest('date -s @86400');
    await expectNamed('clock', /the guest's clock says 1970-01-02/, setBack);
    await expectCured('clock');
    await inGuest('rm /run/watch-held; read -r _ watch </run/sovereign/helpers && kill -CONT $watch');
    await expectWell();
  });

  test('an agent that is gone for good', async () => {
    await inGuest('rc-service agent stop');
    await expectNamed('agent', /(nothing for \d+ s|not said anything)/);
    const status = await service.status();
    expect(status).toMatchObject({ healthy: null });
    expect(status.attention).toMatch(/says nothing/);
    await inGuest('rc-service agent start');
    await expectWell();
  });
});

describe('on the device', () => {
  test('a VM that was killed while nobody could see it', async () => {
    const keeper = Number(readFileSync(join(service.folder, 'device/keeper/state/pid'), 'utf8'));
    const launcher = pidIn('launcher-pid');
    for (const pid of [keeper, launcher]) process.kill(pid, 'SIGSTOP');
    process.kill(pidIn('pid'), 'SIGKILL');
    await expectNamed('vm', /no process/);
    for (const pid of [launcher, keeper]) process.kill(pid, 'SIGCONT');
    await expectWell();
  });

  test('a service that was stopped is started', async () => {
    await service.device.stop(service.definition, 60);
    await expectNamed('vm', /no process: sql is stopped/);
    await expectFixed('vm');
  });
});

/** Starts the machine once more, QEMU's arguments being changed. */
async function restartWith(change: (argv: string) => string): Promise<() => Promise<void>> {
  const file = service.file('a/argv.1');
  const before = readFileSync(file, 'utf8');
  const changed = change(before);
  expect(changed).not.toBe(before);
  writeFileSync(file, changed);
  const killed = pidIn('pid');
  process.kill(killed, 'SIGKILL');
  await expect.poll(async () => (await service.status()).pid, PATIENT).not.toBe(killed);
  return async () => {
    writeFileSync(file, before);
    await service.device.stop(service.definition, 1);
    await up();
  };
}

describe('at power-on', () => {
  test('a console that is silent', async () => {
    const back = await restartWith((argv) => `${argv}-S\n`);
    await expectNamed('console', /not one line came/);
    await back();
  });

  test('a kernel that panics', async () => {
    const back = await restartWith((argv) =>
      argv.replace('root=/dev/vda', 'root=/dev/nothing').replace('panic=exit-failure', 'panic=pause'),
    );
    await expectNamed('console', /gave up: .*Kernel panic/);
    await back();
  });

  test('a machine that wakes up in 1970 has the right time by the control channel', async () => {
    const back = await restartWith((argv) => argv.replace('base=utc', 'base=1970-01-01T00:00:00'));
    await service.device.waitHealthy(service.definition, HEALTHY);
    expect((await inGuest('dmesg | grep "setting system clock"')).stdout).toContain('1970-01-01');
    const off = async () => Math.abs(Number((await inGuest('date +%s')).stdout) - Date.now() / 1000);
    await expect.poll(off, PATIENT).toBeLessThan(60);
    expect(result(await ask(false), 'clock')).toMatchObject({ result: 'ok' });
    await back();
    // And with an RTC that is right, the kernel begins with the right time by itself.
    expect((await inGuest('dmesg | grep "setting system clock"')).stdout).not.toContain('1970');
  });
});
