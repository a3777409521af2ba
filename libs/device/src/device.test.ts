import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { releaseId, type Release } from '@sovereign/service';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { runAgent } from './agent.ts';
import { HostedDevice } from './device.ts';
import type { Migration } from './contract.ts';
import type { Host } from './host.ts';
import { definition, postgresPort, Workstation } from './testing/workstation.ts';

// Each test runs the real launcher, on a machine that may have other work.
vi.setConfig({ testTimeout: 180_000 });

const service = (workstation: Workstation, ...parts: string[]): string =>
  join(workstation.root, 'services', 'sql', ...parts);
const status = async (workstation: Workstation) => (await workstation.device.status([definition]))[0];
const failure = (code: string, exit = 1): unknown => expect.objectContaining({ code, exit });

test('a service is deployed, started, found healthy, stopped; each a second time without effect', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  expect(await status(workstation)).toMatchObject({ state: 'stopped', release: null, healthy: null });
  const bundle = await workstation.bundle('healthy');
  const first = await device.deploy(bundle);
  expect(first).toMatchObject({ release: releaseId(bundle.release), slot: 'a', changed: true });
  expect(await device.deploy(bundle)).toMatchObject({ slot: 'a', changed: false, bytesSent: 0 });
  await device.start(definition);
  await device.waitHealthy(definition, 60);
  const running = await status(workstation);
  expect(running).toMatchObject({
    state: 'running',
    healthy: true,
    release: first.release,
    slot: 'a',
    trial: false,
    restarts: 0,
    endpoints: [{ name: 'postgres', url: `postgresql://postgres@127.0.0.1:${postgresPort}/postgres` }],
  });
  await device.start(definition);
  expect(await device.deploy(bundle)).toMatchObject({ changed: false });
  expect((await status(workstation))?.pid).toBe(running?.pid);
  await device.stop(definition, 5);
  await device.stop(definition, 5);
  expect(await status(workstation)).toMatchObject({ state: 'stopped', pid: null, healthy: null });
});

test('a new release proves itself on trial, and rollback goes back', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  const old = await device.deploy(await workstation.bundle('healthy one'));
  await device.start(definition);
  await device.waitHealthy(definition, 60);
  const next = await workstation.bundle('healthy two');
  expect(await device.deploy(next)).toMatchObject({ slot: 'b', changed: true });
  expect(await device.deploy(next)).toMatchObject({ slot: 'b', changed: false });
  expect(await status(workstation)).toMatchObject({ release: old.release, trial: true });
  await device.start(definition);
  await device.waitHealthy(definition, 60);
  expect(await status(workstation)).toMatchObject({
    release: releaseId(next.release),
    slot: 'b',
    trial: false,
  });
  expect(await device.rollback(definition)).toEqual({ from: releaseId(next.release), to: old.release });
  await device.waitHealthy(definition, 60);
  expect(await status(workstation)).toMatchObject({ release: old.release, slot: 'a', trial: false });
});

test('a start for a release that is not due any more starts nothing, and says so', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  const one = await device.deploy(await workstation.bundle('healthy one'));
  const two = await device.deploy(await workstation.bundle('healthy two'));
  await device.rollback(definition);
  const start = ({ release }: { release: string }) => device.start(definition, { release });
  await expect(start(two)).rejects.toEqual(failure('other-release', 3));
  expect(await status(workstation)).toMatchObject({ state: 'stopped' });
  await start(one);
  await device.waitHealthy(definition, 60);
});

test('going back to the release before starts also a service that is just to start anew', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  const old = await device.deploy(await workstation.bundle('healthy one'));
  await device.start(definition);
  await device.waitHealthy(definition, 60);
  await device.deploy(await workstation.bundle('healthy two'));
  await device.stop(definition, 5);
  // As whoever asked for another plan leaves it, where the launcher was killed before it followed.
  writeFileSync(service(workstation, 'wanted'), 'restart 60\n');
  await device.rollback(definition);
  await device.waitHealthy(definition, 60);
  expect(await status(workstation)).toMatchObject({ state: 'running', release: old.release });
});

test('neighbours meet in a group that is chosen once, also for the slot that a trial goes back to', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  const argv = (slot: string) => readFileSync(service(workstation, slot, 'argv.1'), 'utf8');
  const group = (slot: string) =>
    /mcast=(239\.255\.\d+\.\d+:\d+),localaddr=127\.0\.0\.1\n/.exec(argv(slot))?.[1];
  await device.deploy(await workstation.bundle('healthy one'));
  const first = group('a');
  expect(first).toBeDefined();
  // As a deploy of before there was such a card left it.
  const without = argv('a').replace(/^-netdev\nsocket.*\n-device\n.*neighbours.*\n/m, '');
  expect(without).not.toBe(argv('a'));
  writeFileSync(service(workstation, 'a', 'argv.1'), without);
  await device.deploy(await workstation.bundle('healthy two'));
  expect([group('a'), group('b')]).toEqual([first, first]);
  const elsewhere = new Workstation();
  await elsewhere.device.deploy(await elsewhere.bundle('healthy one'));
  expect(readFileSync(join(elsewhere.root, 'ports.json'), 'utf8')).not.toContain(first);
});

test('a restore puts a new disk in place of the old one, which undo brings back', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  await device.deploy(await workstation.bundle('healthy'));
  const disk = (name = 'data.img') => readFileSync(service(workstation, name)).subarray(0, 3).toString();
  writeFileSync(service(workstation, 'data.img'), 'old');
  await device.restore(definition, ({ port }) => {
    expect(port).toBeGreaterThan(0);
    expect(existsSync(service(workstation, 'closed'))).toBe(true);
    writeFileSync(service(workstation, 'data.img'), 'new');
    return Promise.resolve();
  });
  expect([disk(), disk('data.kept')]).toEqual(['new', 'old']);
  expect(await status(workstation)).toMatchObject({ healthy: true });
  expect(existsSync(service(workstation, 'closed'))).toBe(false);
  await device.undoRestore(definition);
  expect([disk(), disk('data.kept')]).toEqual(['old', 'new']);
});

test('a restore that fails, is no more than a trial, or was cut leaves the old disk in its place', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  await device.deploy(await workstation.bundle('healthy'));
  const disk = () => readFileSync(service(workstation, 'data.img')).subarray(0, 3).toString();
  writeFileSync(service(workstation, 'data.img'), 'old');
  const failing = device.restore(definition, () => Promise.reject(new Error('the backup ends too soon')));
  await expect(failing).rejects.toThrow('too soon');
  expect([disk(), (await status(workstation))?.state]).toEqual(['old', 'stopped']);
  await device.restore(definition, () => Promise.resolve(), { keep: false });
  expect(disk()).toBe('old');
  expect(readdirSync(service(workstation)).filter((name) => name.startsWith('data.'))).toEqual([
    'data.id',
    'data.img',
  ]);
  await expect(device.undoRestore(definition)).rejects.toMatchObject({ code: 'nothing-kept' });
  // Of a process that was killed in the middle.
  renameSync(service(workstation, 'data.img'), service(workstation, 'data.before'));
  writeFileSync(service(workstation, 'data.img'), 'new');
  writeFileSync(service(workstation, 'closed'), 'a restore is not finished\n');
  await device.start(definition);
  expect([disk(), existsSync(service(workstation, 'closed'))]).toEqual(['old', false]);
  // What ends before there is a new disk lets the service run on, too.
  renameSync(service(workstation, 'data.id'), service(workstation, 'away'));
  await expect(device.restore(definition, () => Promise.resolve())).rejects.toMatchObject({
    code: 'data-missing',
  });
  await device.waitHealthy(definition, 60);
});

describe('data that moves to another format', () => {
  const next = { data: { ...definition.data, major: definition.data.major + 1 } };
  /** A service whose data disk says `old`, and what is to be known of it later. */
  async function deployed() {
    const workstation = new Workstation();
    const { device } = workstation;
    const old = await device.deploy(await workstation.bundle('healthy one'));
    writeFileSync(service(workstation, 'data.img'), 'old');
    const read = (name: string) =>
      existsSync(service(workstation, name))
        ? readFileSync(service(workstation, name)).subarray(0, 3).toString().trim()
        : undefined;
    const seen = () => ({ current: read('current'), disk: read('data.img'), closed: read('closed') });
    const steps: Migration = {
      drain: () => {
        expect(seen()).toEqual({ current: 'a', disk: 'old', closed: 'clo' });
        return Promise.resolve();
      },
      fill: () => {
        expect(seen()).toMatchObject({ current: 'b', closed: 'clo' });
        writeFileSync(service(workstation, 'data.img'), 'new');
        return Promise.resolve();
      },
    };
    return {
      workstation,
      device,
      old,
      read,
      seen,
      steps,
      bundle: await workstation.bundle('healthy two', next),
    };
  }

  test('is taken out of the old release and brought into the new one, which both are closed', async () => {
    const { workstation, device, old, read, seen, steps, bundle } = await deployed();
    await device.start(definition);
    await expect(device.deploy(bundle)).rejects.toMatchObject({
      code: 'data-mismatch',
      hint: expect.stringContaining('sovereign upgrade sql') as string,
    });
    const { release } = await device.migrate(bundle, steps);
    expect(seen()).toEqual({ current: 'b', disk: 'new', closed: undefined });
    expect(await status(workstation)).toMatchObject({ healthy: true, release, slot: 'b', trial: false });
    await device.undoRestore(definition);
    await device.waitHealthy(definition, 60);
    expect([seen().disk, read('data.kept-b')]).toEqual(['old', 'new']);
    expect(await status(workstation)).toMatchObject({ healthy: true, release: old.release, slot: 'a' });
    await device.undoRestore(definition);
    await device.waitHealthy(bundle.definition, 60);
    expect([seen().disk, read('data.kept-a')]).toEqual(['new', 'old']);
    expect(await status(workstation)).toMatchObject({ release, slot: 'b' });
  });

  test('is kept with its release until it is given up', async () => {
    const { workstation, device, steps, bundle } = await deployed();
    await device.migrate(bundle, steps);
    const kept = { code: 'data-kept', exit: 2 };
    const third = await workstation.bundle('healthy three', next);
    await expect(device.deploy(third)).rejects.toMatchObject(kept);
    await expect(device.rollback(bundle.definition)).rejects.toMatchObject(kept);
    await expect(device.restore(bundle.definition, () => Promise.resolve())).rejects.toMatchObject(kept);
    await expect(device.migrate(await workstation.bundle('healthy four'), steps)).rejects.toMatchObject(kept);
    await expect(device.migrate(bundle, steps)).rejects.toMatchObject({ code: 'same-data' });
    // The release that runs is deployed as ever.
    expect(await device.deploy(bundle)).toMatchObject({ changed: false });
    expect([await device.discardKept(definition), await device.discardKept(definition)]).toEqual([
      true,
      false,
    ]);
    expect(await device.deploy(third)).toMatchObject({ slot: 'a', changed: true });
  });

  test('is not gone back to without the release that can read it', async () => {
    const { workstation, device, seen, steps, bundle } = await deployed();
    await device.migrate(bundle, steps);
    // It keeps what is on the disks.
    await device.remove(bundle.definition, { data: false });
    await device.deploy(await workstation.bundle('healthy three', next));
    await expect(device.undoRestore(definition)).rejects.toMatchObject({ code: 'release-gone' });
    expect(seen()).toMatchObject({ current: 'a', disk: 'new' });
    expect(await device.discardKept(definition)).toBe(true);
  });

  test.each(['drain', 'fill'] as const)('is as it was where %s fails', async (step) => {
    const { workstation, device, old, seen, steps, bundle } = await deployed();
    await device.start(definition);
    const failing = device.migrate(bundle, { ...steps, [step]: () => Promise.reject(new Error('cut')) });
    await expect(failing).rejects.toThrow('cut');
    expect(seen()).toEqual({ current: 'a', disk: 'old', closed: undefined });
    await device.waitHealthy(definition, 60);
    expect(await status(workstation)).toMatchObject({ healthy: true, release: old.release, slot: 'a' });
    expect(readdirSync(service(workstation)).filter((name) => name.startsWith('data.'))).toEqual([
      'data.id',
      'data.img',
    ]);
  });

  test('is as it was where the new release does not come up, also where nobody was left to see to it', async () => {
    const { workstation, device, old, seen, steps } = await deployed();
    const ill = await workstation.bundle('ill', {
      ...next,
      health: { ...definition.health, deadline: 3 },
    });
    await expect(device.migrate(ill, steps)).rejects.toMatchObject({ exit: 3 });
    expect(seen()).toEqual({ current: 'a', disk: 'old', closed: undefined });
    // As the process leaves it that is killed while the new release is filled.
    renameSync(service(workstation, 'data.img'), service(workstation, 'data.before-a'));
    writeFileSync(service(workstation, 'data.img'), 'new');
    writeFileSync(service(workstation, 'closed'), 'closed: it is not finished\n');
    writeFileSync(service(workstation, 'current'), 'b\n');
    await device.start(definition);
    await device.waitHealthy(definition, 60);
    expect(seen()).toEqual({ current: 'a', disk: 'old', closed: undefined });
    expect(await status(workstation)).toMatchObject({ healthy: true, release: old.release });
  });
});

test('the releases of a service begin with the one that boots next', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  expect(await device.releases(definition)).toEqual([]);
  const one = await workstation.bundle('healthy one');
  await device.deploy(one);
  expect(await device.releases(definition)).toEqual([one.release]);
  const two = await workstation.bundle('healthy two');
  await device.deploy(two);
  expect(await device.releases(definition)).toEqual([two.release, one.release]);
});

test('a release that never becomes healthy is taken back, and whoever started it is told', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  const old = await device.deploy(await workstation.bundle('healthy'));
  await device.start(definition);
  await device.waitHealthy(definition, 60);
  const ill = await workstation.bundle('ill', { health: { command: '/bin/true', deadline: 3 } });
  const { release } = await device.deploy(ill);
  await device.start(definition, { release });
  await expect(device.waitHealthy(definition, 60)).rejects.toEqual(failure('rolled-back', 3));
  // As where the trial is over before whoever deployed comes to start it.
  await expect(device.start(definition, { release })).rejects.toEqual(failure('rolled-back', 3));
  expect(await status(workstation)).toMatchObject({
    release: old.release,
    healthy: true,
    attention: expect.stringMatching(/taken back/) as string,
  });
});

test('a service that gives up is exit 3 and says why', async () => {
  const workstation = new Workstation();
  await workstation.device.deploy(await workstation.bundle('dies'));
  const plan = service(workstation, 'a', 'launch');
  writeFileSync(plan, readFileSync(plan, 'utf8').replace('restarts 5', 'restarts 1'));
  await runAgent(workstation.host, 'start', ['sql'], 60_000);
  await expect(workstation.device.waitHealthy(definition, 60)).rejects.toMatchObject({
    exit: 3,
    what: expect.stringMatching(/gave up after 2 starts/) as string,
  });
});

test('a file that was damaged in the store is found before the start, and sent again by deploy', async () => {
  const workstation = new Workstation();
  const bundle = await workstation.bundle('healthy');
  await workstation.device.deploy(bundle);
  writeFileSync(join(workstation.root, 'store', bundle.release.kernel.sha256), 'damaged');
  await expect(workstation.device.start(definition)).rejects.toEqual(failure('damaged-store'));
  expect(await workstation.device.deploy(bundle)).toMatchObject({ bytesSent: 'kernel'.length });
  await workstation.device.start(definition);
  await workstation.device.waitHealthy(definition, 60);
});

test('a port that is taken is replaced by the next free one, which is kept', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  await device.deploy(await workstation.bundle('healthy'));
  await squat();
  await device.start(definition);
  await device.waitHealthy(definition, 60);
  const url = `postgresql://postgres@127.0.0.1:${postgresPort + 1}/postgres`;
  expect((await status(workstation))?.endpoints).toEqual([{ name: 'postgres', url }]);
  expect(await device.ssh(definition)).toMatchObject({
    host: '127.0.0.1',
    port: 12_200 + definition.net.index,
    user: 'root',
  });
});

test('a port that somebody takes just before the machine starts is replaced too', async () => {
  const workstation = new Workstation();
  const { device } = workstation;
  await device.deploy(await workstation.bundle('healthy'));
  const plan = service(workstation, 'a', 'launch');
  writeFileSync(plan, readFileSync(plan, 'utf8').replace('restarts 5', 'restarts 1'));
  await squat();
  // Without the look that a start of ours takes.
  await runAgent(workstation.host, 'start', ['sql'], 60_000);
  await device.waitHealthy(definition, 60);
  const url = `postgresql://postgres@127.0.0.1:${postgresPort + 1}/postgres`;
  expect((await status(workstation))?.endpoints).toEqual([{ name: 'postgres', url }]);
});

/** Takes the port that the service wants, until the test has finished. */
async function squat(): Promise<void> {
  const squatter = createServer();
  onTestFinished(() => void squatter.close());
  await new Promise<void>((resolve) => squatter.listen(postgresPort, '127.0.0.1', resolve));
}

describe('data', () => {
  test('is marked once and never replaced', async () => {
    const workstation = new Workstation();
    await workstation.device.deploy(await workstation.bundle('healthy'));
    const disk = service(workstation, 'data.img');
    const uuid = readFileSync(service(workstation, 'data.id'), 'utf8').trim();
    expect(statSync(disk).size).toBe(64 * 1024 * 1024);
    expect(statSync(disk).mode & 0o777).toBe(0o600);
    expect(readFileSync(disk).subarray(0, 128).toString().replace(/\0+$/, '')).toBe(
      `sovereign-new ${uuid}\n`,
    );
    writeFileSync(disk, 'a file system');
    await workstation.device.deploy(await workstation.bundle('healthy two'));
    expect(readFileSync(disk, 'utf8')).toBe('a file system');
  });

  test('that is gone is an error, not an empty disk', async () => {
    const workstation = new Workstation();
    const bundle = await workstation.bundle('healthy');
    await workstation.device.deploy(bundle);
    rmSync(service(workstation, 'data.img'));
    await expect(workstation.device.deploy(bundle)).rejects.toEqual(failure('data-missing'));
    await expect(workstation.device.start(definition)).rejects.toMatchObject({
      what: expect.stringMatching(/data.img is missing/) as string,
    });
    expect(existsSync(service(workstation, 'data.img'))).toBe(false);
  });

  test('of another major version refuses the release', async () => {
    const workstation = new Workstation();
    await workstation.device.deploy(await workstation.bundle('healthy'));
    const next = await workstation.bundle('healthy', { data: { ...definition.data, major: 18 } });
    await expect(workstation.device.deploy(next)).rejects.toMatchObject({
      code: 'data-mismatch',
      what: 'the data was made with major 17, the release needs 18',
    });
  });

  test('of another major version is no way back, and says which command is', async () => {
    const workstation = new Workstation();
    const { device } = workstation;
    await device.deploy(await workstation.bundle('healthy'));
    await device.deploy(await workstation.bundle('healthy two'));
    // As if its trial had ended well.
    rmSync(service(workstation, 'trial'));
    writeFileSync(service(workstation, 'current'), 'b\n');
    const file = service(workstation, 'b', 'release.json');
    const release = JSON.parse(readFileSync(file, 'utf8')) as Release;
    writeFileSync(file, JSON.stringify({ ...release, data: { ...release.data, major: 18 } }));
    await expect(device.rollback(definition)).rejects.toMatchObject({
      code: 'data-mismatch',
      hint: expect.stringContaining('sovereign restore sql') as string,
    });
  });

  test('that a new version changes is tried as a copy: back as it was, or kept, and then nobody goes back', async () => {
    const workstation = new Workstation();
    const { device } = workstation;
    const migrating = { ...definition, data: { ...definition.data, changes: 'version' as const } };
    const deploy = async (root: string, version: string) => {
      const bundle = await workstation.bundle(root, migrating);
      const release = { ...bundle.release, version };
      await device.deploy({ ...bundle, release });
      await device.start(migrating);
      return releaseId(release);
    };
    const first = await deploy('healthy', '17');
    await device.waitHealthy(migrating, 60);
    writeFileSync(service(workstation, 'data.img'), 'data\n');
    const { ino } = statSync(service(workstation, 'data.img'));
    const disks = () => readdirSync(service(workstation)).filter((name) => /^data\.|^trial/.test(name));

    await deploy('spoils', '18');
    await expect(device.waitHealthy(migrating, 90)).rejects.toMatchObject({ code: 'rolled-back', exit: 3 });
    expect(await status(workstation)).toMatchObject({ release: first, slot: 'a', healthy: true });
    expect(readFileSync(service(workstation, 'data.img'), 'utf8')).toBe('data\n');
    expect(statSync(service(workstation, 'data.img')).ino).toBe(ino);
    expect(disks()).toEqual(['data.id', 'data.img']);

    const second = await deploy('changes', '19');
    await device.waitHealthy(migrating, 90);
    await expect.poll(disks, { timeout: 20_000 }).toEqual(['data.id', 'data.img']);
    expect(await status(workstation)).toMatchObject({ release: second, slot: 'b' });
    expect(readFileSync(service(workstation, 'data.img'), 'utf8')).toBe('data\nchanges\n');
    await expect(device.rollback(migrating)).rejects.toMatchObject({
      code: 'data-mismatch',
      hint: expect.stringMatching(/backup list sql/) as string,
    });
    expect(await status(workstation)).toMatchObject({ release: second, healthy: true });
  });

  test('of a release that would change it needs space for the copy before anything is sent', async () => {
    const workstation = new Workstation();
    const migrating = { ...definition, data: { ...definition.data, changes: 'version' as const } };
    const bundle = await workstation.bundle('healthy', migrating);
    await workstation.device.deploy(bundle);
    writeFileSync(service(workstation, 'data.img'), Buffer.alloc(8 * 1024 * 1024, 1));
    // What the reserve of this machine leaves, and less than the disk takes.
    const freeSpace = vi.spyOn(workstation.host, 'freeSpace').mockResolvedValue(260 * 1024 * 1024);
    const next = { ...bundle, release: { ...bundle.release, version: '18' } };
    await expect(workstation.device.deploy(next)).rejects.toEqual(failure('no-space'));
    expect(existsSync(service(workstation, 'trial'))).toBe(false);
    freeSpace.mockResolvedValue(300 * 1024 * 1024);
    await workstation.device.deploy(next);
    expect(existsSync(service(workstation, 'trial'))).toBe(true);
  });

  test('of a trial that nobody ended is settled before anything else is done with it', async () => {
    const workstation = new Workstation();
    const { device } = workstation;
    const bundle = await workstation.bundle('healthy');
    await device.deploy(bundle);
    const leave = () => {
      for (const [name, text] of [
        ['data.img', 'changed'],
        ['data.old', 'old'],
        ['trial-data', `b ${'0'.repeat(64)}`],
      ] as const)
        writeFileSync(service(workstation, name), `${text}\n`);
    };
    leave();
    await expect(device.rollback(definition)).rejects.toEqual(failure('no-release-before'));
    await device.remove(definition, { data: false });
    expect(readFileSync(service(workstation, 'data.img'), 'utf8')).toBe('old\n');
    expect(readdirSync(service(workstation)).sort()).toEqual(['data.id', 'data.img']);
    await device.deploy(bundle);
    leave();
    writeFileSync(service(workstation, 'trial'), 'b 0 - 0\n');
    await expect(device.resize(definition, 2 ** 30)).rejects.toEqual(failure('on-trial'));
    expect(readFileSync(service(workstation, 'data.old'), 'utf8')).toBe('old\n');
  });

  test('of another base takes the release: whether the two fit is the guest’s to say', async () => {
    const workstation = new Workstation();
    const bundle = await workstation.bundle('healthy');
    await workstation.device.deploy(bundle);
    const release = { ...bundle.release, base: 'alpine' as const };
    expect(bundle.release.base).toBe('debian');
    await workstation.device.deploy({ ...bundle, release });
    expect(existsSync(service(workstation, 'trial'))).toBe(true);
  });

  test('outlives remove, and goes with the flag', async () => {
    const workstation = new Workstation();
    const { device } = workstation;
    const bundle = await workstation.bundle('healthy');
    await device.deploy(bundle);
    const password = await device.secret(definition, 'postgres-password');
    await device.remove(definition, { data: false });
    expect(readdirSync(service(workstation)).sort()).toEqual(['data.id', 'data.img']);
    for (const folder of ['store', 'agent']) expect(readdirSync(join(workstation.root, folder))).toEqual([]);
    await device.deploy(bundle);
    expect(await device.secret(definition, 'postgres-password')).toBe(password);
    await device.remove(definition, { data: true });
    await device.remove(definition, { data: true });
    expect(existsSync(service(workstation))).toBe(false);
    await device.deploy(bundle);
    expect(await device.secret(definition, 'postgres-password')).not.toBe(password);
  });
});

describe('secrets', () => {
  test('are made at random, kept private, and never replaced when their file is damaged', async () => {
    const workstation = new Workstation();
    const bundle = await workstation.bundle('healthy');
    await workstation.device.deploy(bundle);
    const password = await workstation.device.secret(definition, 'postgres-password');
    expect(password).toMatch(/^[\w-]{32}$/);
    const devices = join(workstation.folder, 'config', 'sovereign', 'devices');
    const folder = join(devices, readdirSync(devices)[0] ?? '');
    const file = join(folder, 'secrets.json');
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(service(workstation, 'config.img')).mode & 0o777).toBe(0o600);
    for (const name of ['launch', 'argv.1', 'release.json']) {
      expect(readFileSync(service(workstation, 'a', name), 'utf8')).not.toContain(password);
    }
    truncateSync(file, 20);
    await expect(workstation.device.deploy(bundle)).rejects.toEqual(failure('damaged-secrets'));
    expect(statSync(file).size).toBe(20);
    await expect(workstation.device.secret(definition, 'postgres-password')).rejects.toEqual(
      failure('damaged-secrets'),
    );
  });

  test('of a device that another workstation set up are asked for, not made anew', async () => {
    const workstation = new Workstation();
    const bundle = await workstation.bundle('healthy');
    await workstation.device.deploy(bundle);
    rmSync(join(workstation.folder, 'config'), { recursive: true });
    await expect(workstation.device.deploy(bundle)).rejects.toEqual(failure('no-secrets'));
  });

  test('that a service does not have are a wrong command line', async () => {
    const workstation = new Workstation();
    await workstation.device.deploy(await workstation.bundle('healthy'));
    await expect(workstation.device.secret(definition, 'nothing')).rejects.toEqual(
      failure('no-such-secret', 2),
    );
  });
});

test('what was never deployed is neither started nor rolled back, and stopping it is no error', async () => {
  const { device } = new Workstation();
  await device.stop(definition, 1);
  await expect(device.start(definition)).rejects.toEqual(failure('not-deployed'));
  await expect(device.rollback(definition)).rejects.toEqual(failure('not-deployed'));
  await expect(device.ssh(definition)).rejects.toEqual(failure('not-deployed'));
});

test('a launcher that runs, or that one goes back to, is not pruned; any other is', async () => {
  const workstation = new Workstation();
  await workstation.device.deploy(await workstation.bundle('healthy'));
  const agent = (digit: string) => join(workstation.root, 'agent', digit.repeat(64));
  for (const digit of ['1', '2', '3', '4']) mkdirSync(agent(digit));
  mkdirSync(service(workstation, 'state'), { recursive: true });
  writeFileSync(service(workstation, 'state', 'launcher-agent'), `${'1'.repeat(64)}\n`);
  writeFileSync(
    service(workstation, 'state', 'launcher-before'),
    `${'2'.repeat(64)} 9 boot ${'1'.repeat(64)}\n`,
  );
  writeFileSync(join(workstation.root, 'agent', 'good'), `${'3'.repeat(64)}\n`);
  await workstation.device.deploy(await workstation.bundle('healthy two'));
  for (const digit of ['1', '2', '3']) expect(existsSync(agent(digit)), digit).toBe(true);
  expect(existsSync(agent('4'))).toBe(false);
  expect(existsSync(join(workstation.root, 'agent', 'good'))).toBe(true);
});

test('space is asked for before the first byte is sent', async () => {
  const workstation = new Workstation();
  workstation.host.freeSpace = () => Promise.resolve(1024);
  await expect(workstation.device.deploy(await workstation.bundle('healthy'))).rejects.toEqual(
    failure('no-space'),
  );
  expect(existsSync(join(workstation.root, 'store'))).toBe(false);
});

test('a file that is not the one that was built is refused, and nothing of it stays', async () => {
  const workstation = new Workstation();
  const bundle = await workstation.bundle('healthy');
  writeFileSync(bundle.files.root, 'changed after the build');
  await expect(workstation.device.deploy(bundle)).rejects.toEqual(failure('wrong-digest'));
  expect(readdirSync(join(workstation.root, 'store'))).toEqual([bundle.release.kernel.sha256]);
  expect(existsSync(service(workstation, 'current'))).toBe(false);
});

test('two deploys at once are done one after the other', async () => {
  const workstation = new Workstation();
  const bundle = await workstation.bundle('healthy');
  const other = new HostedDevice(workstation.host);
  const reports = await Promise.all([workstation.device.deploy(bundle), other.deploy(bundle)]);
  expect(reports.map(({ changed }) => changed).sort()).toEqual([false, true]);
});

/** The host, failing at its n-th change as if the process had been killed there. */
function cutAt(host: Host, n: number): Host {
  let changes = 0;
  return new Proxy(host, {
    get(target, property, receiver) {
      const value: unknown = Reflect.get(target, property, receiver);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        if (
          ['write', 'writeFolder', 'remove', 'rename', 'put', 'makeDisk'].includes(String(property)) &&
          ++changes === n
        ) {
          return Promise.reject(new SovereignError({ code: 'cut', what: 'cut off' }));
        }
        return (value as (...all: unknown[]) => unknown).apply(target, args);
      };
    },
  });
}

test('a deploy that is cut off at any step leaves the last good release, and a second one goes on', async () => {
  const workstation = new Workstation();
  const first = await workstation.bundle('healthy one');
  let cuts = 0;
  for (;;) {
    const device = new HostedDevice(cutAt(workstation.host, cuts + 1));
    const done = await device.deploy(first).then(
      () => true,
      (error: unknown) => {
        expect(error).toEqual(failure('cut'));
        return false;
      },
    );
    if (done) break;
    cuts += 1;
    if (existsSync(service(workstation, 'current'))) break;
    // From nothing again, so that every cut is one of a first deploy.
    if (!existsSync(service(workstation, 'data.id')))
      rmSync(workstation.root, { recursive: true, force: true });
  }
  expect(cuts).toBeGreaterThan(8);
  await workstation.device.deploy(first);

  const uuid = readFileSync(service(workstation, 'data.id'), 'utf8');
  cuts = 0;
  for (let n = 1; ; n++) {
    const next = await workstation.bundle(`healthy number ${n}`);
    const device = new HostedDevice(cutAt(workstation.host, n));
    const cut = await device.deploy(next).then(
      () => false,
      () => true,
    );
    expect(readFileSync(service(workstation, 'current'), 'utf8')).toBe('a\n');
    const kept = JSON.parse(
      readFileSync(service(workstation, 'a', 'release.json'), 'utf8'),
    ) as typeof next.release;
    expect(kept).toEqual(first.release);
    for (const { sha256 } of [kept.kernel, kept.root]) {
      expect(existsSync(join(workstation.root, 'store', sha256))).toBe(true);
    }
    if (!cut) break;
    cuts += 1;
    await workstation.device.deploy(next);
    expect(await status(workstation)).toMatchObject({
      slot: 'b',
      release: releaseId(next.release),
      trial: true,
    });
  }
  expect(cuts).toBeGreaterThan(4);
  expect(readFileSync(service(workstation, 'data.id'), 'utf8')).toBe(uuid);
});

test('the log shows the launcher’s lines, the boot log the console', async () => {
  const workstation = new Workstation();
  await workstation.device.deploy(await workstation.bundle('healthy'));
  await workstation.device.start(definition);
  writeFileSync(service(workstation, 'log', 'console.log'), 'Linux\r\nready');
  const read = async (boot: boolean) => {
    const lines: string[] = [];
    const options = { boot, follow: false, signal: new AbortController().signal };
    for await (const line of workstation.device.logs(definition, options)) lines.push(line);
    return lines;
  };
  expect(await read(true)).toEqual(['Linux', 'ready']);
  // The launcher says so just after it has noted that it starts, which is what was waited for.
  await expect.poll(async () => (await read(false)).join('\n')).toMatch(/starting slot a[^]*Linux\nready/);
});
