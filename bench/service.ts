/**
 * The PostgreSQL service on this machine, in one run: the command line and Nx against a task that does nothing, composing,
 * power-on to an answer, the guest's memory, and images of several settings. Everything is built first; devices are
 * temporary ones. The smallest memory wants pgbench on this machine (Debian's package `postgresql`).
 *
 *   npm run bench:service -- [--runs N] [--only commands,compose,boots,images,memory]
 */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  execInGuest,
  findProgram,
  localDevice,
  readBundle,
  type Bundle,
  type Device,
} from '@sovereign/device';
import { readEvents } from '@sovereign/report';
import { erofsDefaults, type ErofsOptions } from '@sovereign/rootfs';
import { loadService, type Release } from '@sovereign/service';
import { cacheDir, workspaceRoot } from '@sovereign/store';
import { openToolRoot } from '@sovereign/tools';
import { execa } from 'execa';
import { builtRoot, rebuildRoot } from 'rootfs-sql/testing';
import { cpuSeconds } from './cpu.ts';
import { median } from './median.ts';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '3' }, only: { type: 'string' } },
});
const runs = Number(values.runs);
const root = workspaceRoot();
const scratch = await mkdtemp(join(tmpdir(), 'service-bench-'));
// Commands of this run share a device of their own; caches are the user's.
const env = {
  XDG_DATA_HOME: join(scratch, 'data'),
  XDG_CONFIG_HOME: join(scratch, 'config'),
  SOVEREIGN_EVENTS: '',
  NX_DAEMON: 'false',
};

/** Seconds of one command, as a whole process. */
async function time(program: string, args: string[], extra: Record<string, string> = {}): Promise<number> {
  const started = performance.now();
  await execa(join(root, program), args, { cwd: root, env: { ...env, ...extra }, stdin: 'ignore' });
  return (performance.now() - started) / 1000;
}

/** Commands in turns, so that a change of the machine's load meets all of them. */
async function inTurns(commands: Record<string, () => Promise<number>>): Promise<Record<string, number>> {
  const times = Object.fromEntries(Object.keys(commands).map((name) => [name, [] as number[]]));
  for (let run = 0; run < runs; run++) {
    for (const [name, command] of Object.entries(commands)) times[name]?.push(await command());
  }
  return Object.fromEntries(Object.entries(times).map(([name, list]) => [name, median(list)]));
}

async function measureCommands(): Promise<void> {
  await time('sovereign', ['up', '--sql']);
  await time('nx', ['run-many', '-t', 'build']);
  const seconds = await inTurns({
    'empty Nx task': () => time('nx', ['run', 'bench:empty']),
    'nx run rootfs-sql:deploy, nothing to do': () => time('nx', ['run', 'rootfs-sql:deploy']),
    'nx run-many -t build, nothing to do': () => time('nx', ['run-many', '-t', 'build']),
    'sovereign up --sql, all up': () => time('sovereign', ['up', '--sql']),
    'sovereign --version': () => time('sovereign', ['--version']),
  });
  const empty = seconds['empty Nx task'] ?? NaN;
  console.table(
    Object.fromEntries(
      Object.entries(seconds).map(([name, s]) => [name, { s, 'of the empty task': s / empty }]),
    ),
  );
  await time('sovereign', ['down', '--sql']);
}

/** The steps of a build, in seconds. */
async function buildSteps(extra: Record<string, string> = {}): Promise<Record<string, number>> {
  const events = join(scratch, 'events');
  await rm(events, { force: true });
  await time('nx', ['run', 'rootfs-sql:build', '--skipNxCache'], { ...extra, SOVEREIGN_EVENTS: events });
  const ended = readEvents(events).filter(({ state, ms }) => state === 'done' && ms !== undefined);
  return Object.fromEntries(ended.map(({ step, ms = NaN }) => [step, ms / 1000]));
}

async function measureCompose(): Promise<void> {
  const warm = await buildSteps();
  // All that is cached but the packages, fetched and unpacked.
  const cold = join(scratch, 'cache', 'sovereign');
  await mkdir(cold, { recursive: true });
  for (const name of await readdir(cacheDir())) {
    if (!['packages', 'downloads'].includes(name)) await symlink(join(cacheDir(), name), join(cold, name));
  }
  const first = await buildSteps({ XDG_CACHE_HOME: dirname(cold) });
  const steps = Object.keys({ ...first, ...warm });
  console.table(
    Object.fromEntries(
      steps.map((name) => [name, { 'packages in the store': warm[name], 'cold s': first[name] }]),
    ),
  );
}

async function measureBoots(): Promise<void> {
  const bundle = await variant({});
  const { definition } = bundle;
  process.env.XDG_CONFIG_HOME = env.XDG_CONFIG_HOME;
  const rows: Record<string, unknown> = {};
  const later: number[] = [];
  const device = localDevice(join(scratch, 'boots'));
  await device.deploy(bundle);
  for (let run = 0; run <= runs; run++) {
    const seconds = await start(device, bundle);
    if (run === 0) rows['power-on to answer, first boot'] = { s: seconds };
    else later.push(seconds);
    if (run === runs) {
      const target = await device.ssh(definition);
      const ask = async (command: string) => (await execInGuest(target, ['sh', '-c', command])).stdout.trim();
      const init = Number(await ask(`dmesg | sed -n 's/^\\[ *\\([0-9.]*\\)\\] Run \\/sbin\\/init.*/\\1/p'`));
      rows['power-on to answer, data disk ready'] = {
        s: median(later),
        'of the time to /sbin/init': median(later) / init,
      };
      rows['kernel start to /sbin/init'] = { s: init };
      rows['memory used at idle'] = { MB: Number(await ask(`free -k | awk '/^Mem/ {print $3}'`)) / 1000 };
    }
    await device.stop(definition, 60);
  }
  console.table(rows);
}

/** What was built of the service, with other resources or another image. */
async function variant(
  change: Partial<Pick<Release, 'resources' | 'root'>>,
  files: Partial<Bundle['files']> = {},
): Promise<Bundle> {
  const bundle = await readBundle(root, await loadService(join(root, 'packages/rootfs-sql')));
  const release = { ...bundle.release, ...change };
  const definition = { ...bundle.definition, resources: release.resources };
  return { ...bundle, definition, release, files: { ...bundle.files, ...files } };
}

/** Seconds from power-on to an answer. */
async function start(device: Device, { definition }: Bundle): Promise<number> {
  const started = performance.now();
  await device.start(definition);
  await device.waitHealthy(definition, definition.health.deadline);
  return (performance.now() - started) / 1000;
}

/** Images that are weighed against each other: ours first. */
const IMAGES: Readonly<Record<string, ErofsOptions>> = {
  ours: erofsDefaults,
  'zstd, a quarter of the piece': { compression: 'zstd', cluster: erofsDefaults.cluster / 4 },
  lz4hc: { ...erofsDefaults, compression: 'lz4hc' },
};

/** Images of several settings, on a device each: starts in turns. */
async function measureImages(): Promise<void> {
  process.env.XDG_CONFIG_HOME = env.XDG_CONFIG_HOME;
  const tools = await openToolRoot();
  const { base } = await builtRoot();
  const started: Record<string, () => Promise<number>> = {};
  const rows: Record<string, Record<string, number>> = {};
  const used: Record<string, number[]> = {};
  for (const [name, erofs] of Object.entries(IMAGES)) {
    const folder = join(scratch, name);
    const sha256 = await rebuildRoot(tools, folder, base, { erofs });
    const image = join(folder, 'root.erofs');
    const { size } = await stat(image);
    const bundle = await variant({ root: { sha256, size } }, { root: image });
    const device = localDevice(join(folder, 'device'));
    await device.deploy(bundle);
    rows[name] = { MB: size / 1e6, 'first boot s': await start(device, bundle) };
    await device.stop(bundle.definition, 60);
    used[name] = [];
    started[name] = async () => {
      const seconds = await start(device, bundle);
      used[name]?.push(await cpuOf(device, bundle));
      await device.stop(bundle.definition, 60);
      return seconds;
    };
  }
  const later = await inTurns(started);
  console.table(
    Object.fromEntries(
      Object.entries(rows).map(([name, row]) => [
        name,
        { ...row, 'data disk ready s': later[name], 'of the processor s': median(used[name] ?? []) },
      ]),
    ),
  );
}

/** Seconds of processor that a service's machine has used. */
async function cpuOf(device: Device, { definition }: Bundle): Promise<number> {
  const [status] = await device.status([definition]);
  if (typeof status?.pid !== 'number') throw new Error(`${definition.name} does not run`);
  return cpuSeconds(status.pid, 'itself');
}

/** In MiB, from the largest on; the first that fails ends it. */
const MEMORIES = [192, 160, 128];

/** pgbench's own run (TPC-B, scale 10, 10 clients) in guests of less and less memory. */
async function measureMemory(): Promise<void> {
  const pgbench = await findProgram('pgbench');
  if (pgbench === undefined) {
    console.log('memory: pgbench is not on this machine; Debian has it in the package postgresql');
    return;
  }
  process.env.XDG_CONFIG_HOME = env.XDG_CONFIG_HOME;
  const rows: Record<string, { result: string }> = {};
  for (const memory of MEMORIES) {
    const bundle = await variant({ resources: { memory, cpus: 2 } });
    const { definition } = bundle;
    const device = localDevice(join(scratch, `memory-${memory}`));
    await device.deploy(bundle);
    try {
      await start(device, bundle);
      const [status] = await device.status([definition]);
      const password = await device.secret(definition, 'postgres-password');
      const bench = (...args: string[]) =>
        execa(pgbench, [...args, status?.endpoints[0]?.url ?? ''], { env: { PGPASSWORD: password } });
      await bench('--initialize', '--quiet', '--scale=10');
      const { stdout } = await bench('--client=10', '--jobs=2', '--time=30');
      rows[`${memory} MiB`] = { result: /^tps = .*/m.exec(stdout)?.[0] ?? stdout };
    } catch (error) {
      rows[`${memory} MiB`] = { result: `fails: ${(error as Error).message.split('\n')[0]}` };
      break;
    } finally {
      await device.stop(definition, 60);
    }
  }
  console.table(rows);
}

const measures = {
  commands: measureCommands,
  compose: measureCompose,
  boots: measureBoots,
  images: measureImages,
  memory: measureMemory,
};

try {
  for (const [name, measure] of Object.entries(measures)) {
    if (values.only === undefined || values.only.split(',').includes(name)) await measure();
  }
  const manifest = JSON.parse(
    await readFile(join(root, 'packages/rootfs-sql/dist/manifest.json'), 'utf8'),
  ) as {
    image: { size: number };
  };
  console.log(`root image: ${(manifest.image.size / 1e6).toFixed(1)} MB`);
} finally {
  await rm(scratch, { recursive: true, force: true });
}
