/**
 * The PostgreSQL service on this machine, in one run: the command line and Nx against a task that does nothing, composing,
 * power-on to an answer, and the guest's memory. Everything is built first; the device is a temporary one.
 *
 *   npm run bench:service -- [--runs N]
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { execInGuest, localDevice, readBundle } from '@sovereign/device';
import { readEvents } from '@sovereign/report';
import { loadService } from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '3' } } });
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

const median = (list: number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1] ?? NaN;

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
  const seconds = await inTurns({
    'empty Nx task': () => time('nx', ['run', 'bench:empty']),
    'nx run rootfs-sql:deploy, nothing to do': () => time('nx', ['run', 'rootfs-sql:deploy']),
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

async function measureCompose(): Promise<void> {
  const events = join(scratch, 'events');
  await time('nx', ['run', 'rootfs-sql:build', '--skipNxCache'], { SOVEREIGN_EVENTS: events });
  const ended = readEvents(events).filter(({ state, ms }) => state === 'done' && ms !== undefined);
  console.table(Object.fromEntries(ended.map(({ step, ms = NaN }) => [step, { s: ms / 1000 }])));
}

async function measureBoots(): Promise<void> {
  const service = await loadService(join(root, 'packages/rootfs-sql'));
  const { definition } = service;
  process.env.XDG_CONFIG_HOME = env.XDG_CONFIG_HOME;
  const rows: Record<string, unknown> = {};
  const later: number[] = [];
  const device = localDevice(join(scratch, 'boots'));
  await device.deploy(await readBundle(root, service));
  for (let run = 0; run <= runs; run++) {
    const started = performance.now();
    await device.start(definition);
    await device.waitHealthy(definition, definition.health.deadline);
    const seconds = (performance.now() - started) / 1000;
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

try {
  await measureCommands();
  await measureCompose();
  await measureBoots();
  const manifest = JSON.parse(
    await readFile(join(root, 'packages/rootfs-sql/dist/manifest.json'), 'utf8'),
  ) as {
    image: { size: number };
  };
  console.log(`root image: ${(manifest.image.size / 1e6).toFixed(1)} MB`);
} finally {
  await rm(scratch, { recursive: true, force: true });
}
