import { spawn } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import {
  EVENTS_VARIABLE,
  note,
  readEvents,
  SovereignError,
  step,
  toSovereignError,
  type StepEvent,
  type StepHandle,
} from '@sovereign/report';
import type { Base } from '@sovereign/service';
import { withLock } from '@sovereign/store';
import { TOOLS_VARIABLE, type ToolWay } from '@sovereign/tools/setting';

export interface NxRun {
  root: string;
  targets: readonly string[];
  /** Undefined for every project that has the target. */
  projects?: readonly string[];
  /** Options of the executor, by its schema's names. */
  options?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Flags of Nx itself. By default it leaves TypeScript's project references alone: no artifact depends on them. */
  flags?: readonly string[];
  base?: Base | undefined;
  /** How the build tools are run; without it, as `.env.local` says. */
  tools?: ToolWay | undefined;
  /** Further variables of the tasks' environment. */
  env?: Readonly<Record<string, string>>;
  /** Passes on what Nx and the tools print, to standard error. */
  verbose: boolean;
  signal: AbortSignal;
}

/** Words for `nx`, without the executable. */
export function toArgs({
  targets,
  projects,
  options = {},
  flags = ['--outputStyle=stream', '--skipSync'],
}: Pick<NxRun, 'targets' | 'projects' | 'options' | 'flags'>): string[] {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return [
    'run-many',
    `--targets=${targets.join(',')}`,
    ...(projects === undefined ? [] : [`--projects=${projects.join(',')}`]),
    ...flags,
    ...given.map(([name, value]) => `--${name}=${String(value)}`),
  ];
}

/** Asked to stop, Nx gets this long to end its tasks before it and they are ended, in milliseconds. */
const GRACE = 10_000;

/** Once Nx is gone, what its tasks left gets this long to end by itself, in milliseconds. */
const TIDY = 2_000;

/** Names the checkout that a run is at work on to everything under that run. */
const RUN_VARIABLE = 'SOVEREIGN_NX_RUN';

/**
 * Runs targets and everything that they depend on, once. Nx tells 0 from 1 only, so the first error among the
 * tasks' events is what is thrown.
 * @throws SovereignError the first error that a task announced, or `nx-failed` naming the file with the output
 */
export async function runNx(run: NxRun, env: NodeJS.ProcessEnv = process.env): Promise<void> {
  run.signal.throwIfAborted();
  const environment = nxEnvironment(run, env);
  const events = environment[EVENTS_VARIABLE] ?? '';
  const before = events === '' ? 0 : readEvents(events).length;
  const folder = mkdtempSync(join(tmpdir(), 'sovereign-nx-'));
  const log = join(folder, 'output.log');
  let silent = false;
  try {
    const status = await alone(run, env, () => {
      // It may have come as the lock was taken.
      run.signal.throwIfAborted();
      return spawnNx(run, environment, log);
    });
    // A step may fail and its task go on another way: then nothing failed.
    const failed = status === 0 || events === '' ? undefined : firstError(readEvents(events).slice(before));
    silent = status !== 0 && failed === undefined && !run.signal.aborted;
    run.signal.throwIfAborted();
    if (failed !== undefined) throw failed;
    if (!silent) return;
    throw new SovereignError({
      code: 'nx-failed',
      what: nxMessage(readFileSync(log, 'utf8')) ?? `${run.targets.join(', ')} failed`,
      on: run.projects?.join(', '),
      hint: `What the tools printed is in ${log}; --verbose shows it as it comes`,
    });
  } finally {
    // The output is kept only where it is the one thing that can tell more.
    if (!silent) rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * One run at a time in a checkout: without a daemon Nx removes and restores the results of tasks that another run may
 * be reading. A run that a task of this checkout starts belongs to the one that it is part of.
 */
function alone<T>({ root, signal }: NxRun, env: NodeJS.ProcessEnv, work: () => Promise<T>): Promise<T> {
  if (env[RUN_VARIABLE] === root) return work();
  const onWait = () => note('waiting: another sovereign process is at work in this checkout');
  return withLock(join(root, '.nx/run'), work, { signal, onWait });
}

/** What a run failed with, for a caller that looks at its results first. */
export const failureOf = (run: Promise<void>): Promise<SovereignError | undefined> =>
  run.then(() => undefined, toSovereignError);

/** The first error that a task announced: a later one is often only its consequence. */
export function firstError(events: readonly StepEvent[]): SovereignError | undefined {
  const error = events.find((event) => event.error !== undefined)?.error;
  if (error === undefined) return undefined;
  const { exit, ...report } = error;
  return new SovereignError({ ...report, exit: exit === 3 || exit === 4 || exit === 2 ? exit : 1 });
}

function nxEnvironment({ root, base, tools, env = {} }: NxRun, own: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return {
    // Without a daemon nothing of ours stays behind; whoever works on the checkout may want one.
    NX_DAEMON: 'false',
    ...own,
    NX_TUI: 'false',
    [RUN_VARIABLE]: root,
    PATH: [join(root, 'node_modules/.bin'), own.PATH ?? ''].join(delimiter),
    ...(base === undefined ? {} : { SOVEREIGN_BASE: base }),
    ...(tools === undefined ? {} : { [TOOLS_VARIABLE]: tools }),
    ...env,
  };
}

/** What Nx itself says of a task that ended with an error, or of why no task was run: its first such line. */
export function nxMessage(output: string): string | undefined {
  const lines = stripVTControlCharacters(output).split(/\r?\n/);
  const messages = lines.map((line) => /(?:^|: ) ?NX {1,3}(\S.*)$/.exec(line)?.[1]);
  return messages.find((text) => text !== undefined && !/^(Running|Ran|Successfully) /.test(text));
}

/** A task that came from the cache announces nothing itself; Nx says so in one line. */
function announceCached(line: string): void {
  const [, project, target] = /^> nx run ([^\s:]+):(\S+) +\[[^\]]*cache[^\]]*\]$/.exec(line) ?? [];
  if (project === undefined || target === undefined) return;
  const cached = (handle: StepHandle) => {
    handle.cached();
    return Promise.resolve();
  };
  void step(target, cached, { project });
}

/** In a process group of its own, so that one signal reaches Nx and every tool that its tasks started. */
function spawnNx(run: NxRun, env: NodeJS.ProcessEnv, log: string): Promise<number | null> {
  const nx = join(run.root, 'node_modules/nx/dist/bin/nx.js');
  const child = spawn(process.execPath, [nx, ...toArgs(run)], {
    cwd: run.root,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const file = createWriteStream(log, { mode: 0o600 });
  createInterface({ input: child.stdout }).on('line', announceCached);
  for (const stream of [child.stdout, child.stderr]) {
    stream.pipe(file, { end: false });
    if (run.verbose) stream.pipe(process.stderr, { end: false });
  }
  const timers: NodeJS.Timeout[] = [];
  const signalGroup = (name: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // The group is gone already.
    }
  };
  const stop = () => {
    signalGroup('SIGINT');
    timers.push(setTimeout(signalGroup, GRACE, 'SIGTERM'), setTimeout(signalGroup, 2 * GRACE, 'SIGKILL'));
  };
  run.signal.addEventListener('abort', stop, { once: true });
  return new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).finally(async () => {
    run.signal.removeEventListener('abort', stop);
    for (const timer of timers) clearTimeout(timer);
    // The first process of a namespace obeys nothing but SIGKILL, and nobody else knows of it any more.
    if (run.signal.aborted && !(await groupEnds(child.pid))) signalGroup('SIGKILL');
    await new Promise<void>((resolve) => file.end(resolve));
  });
}

/** Waits until a process group is empty; false where it is not in time. */
async function groupEnds(leader: number | undefined): Promise<boolean> {
  const end = performance.now() + TIDY;
  while (leader !== undefined && performance.now() < end) {
    try {
      process.kill(-leader, 0);
    } catch {
      return true;
    }
    await sleep(50);
  }
  return leader === undefined;
}
