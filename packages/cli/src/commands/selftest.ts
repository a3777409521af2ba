import { readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SovereignError, step } from '@sovereign/report';
import { execa } from 'execa';
import { unlessMissing } from '@sovereign/store';
import { chooseBase } from '../base.ts';
import { runRefreshing } from '../locks.ts';
import { failureOf, runNx, toArgs, type NxRun } from '../nx.ts';
import type { Run, Session } from '../session.ts';
import { provideTools, testTools } from '../system.ts';
import { countTests, RESULTS, type Counts } from '../test-results.ts';

/** Projects with this tag boot machines in their `test`. */
const BOOTS = 'tag:boots';

/** The build that goes before the tests, drawn like any other. */
const BUILD: Pick<NxRun, 'targets' | 'flags' | 'env'> = {
  targets: ['build'],
  flags: ['--outputStyle=static'],
  env: {},
};

/** What Nx writes about its last run. */
interface NxTask {
  taskId: string;
  target: string;
  projectName: string;
  hash: string;
  status: number;
}

export const selftest: Run = async (session) => {
  const { root, flags, own, signal } = session;
  if (own.quick === true && own.long === true) {
    throw new SovereignError({
      code: 'usage',
      what: 'quick and long exclude each other',
      on: '--quick --long',
      exit: 2,
    });
  }
  const run: NxRun = {
    root,
    targets: ['lint', 'typecheck', 'test'],
    flags: [
      '--outputStyle=static',
      ...(own.quick === true ? [`--exclude=${BOOTS}`] : []),
      ...(own.long === true ? ['--skipNxCache'] : []),
    ],
    // Tests make steps fail on purpose: their events are nobody's business.
    env: { SOVEREIGN_EVENTS: '', ...(own.long === true ? { SOVEREIGN_LONG: '1' } : {}) },
    verbose: !flags.quiet,
    signal,
  };
  if (flags.dryRun === true) {
    const lines = ['prettier --check .', `nx ${toArgs(run).join(' ')}`];
    return { json: { plan: lines }, text: lines.join('\n') };
  }
  await provideTools(testTools, { install: flags.install, signal });
  const base = await chooseBase({ root, wanted: flags.base, ask: undefined });
  // Built on its own first: a lock that the mirrors have outgrown is refreshed here, as `build` does it.
  if (own.quick !== true) await runRefreshing(session, { ...run, ...BUILD, base });

  const folders = await projectFolders(session);
  // A report that an earlier run left would be counted again where a test cannot even start.
  await Promise.all(folders.map((folder) => rm(join(folder, RESULTS), { force: true })));
  const unformatted = await step('check the format of all files', () => checkFormat(session));
  const began = Date.now();
  const failure = await failureOf(runNx({ ...run, base }));
  signal.throwIfAborted();
  const tasks = await readTasks(root, began);
  // Nx itself did not get as far as to run tasks.
  if (tasks === undefined) throw failure ?? new Error('Nx left no record of its run');

  const counts = await countTests(folders);
  const summary = summarize(counts, tasks, unformatted);
  const waits = await namedWaits(root, tasks);
  const text = [
    ...[...summary.broken, ...counts.failures].map((name) => `failed: ${name}`),
    ...slowest(waits).map(
      ({ name, seconds, times }) =>
        `${seconds.toFixed(1).padStart(7)} s  ${name}${times > 1 ? ` (the slowest of ${times})` : ''}`,
    ),
    ...(counts.skipped > 0 ? [`${counts.skipped} skipped`] : []),
    `${summary.passed} passed, ${summary.failed} failed`,
  ].join('\n');
  return {
    json: { ...summary, skipped: counts.skipped, failures: counts.failures, waits },
    text,
    exit: summary.failed === 0 && failure === undefined ? 0 : 1,
  };
};

/** Adds to the tests what failed without one: a lint or type error, a test that could not start, a bad format. */
export function summarize(
  counts: Omit<Counts, 'failures'>,
  tasks: readonly NxTask[],
  unformatted: readonly string[],
): { passed: number; failed: number; broken: string[] } {
  const failedTasks = tasks.filter(({ status }) => status !== 0);
  // A `test` that failed is told by the tests in it, unless it ended before the first.
  const told = ({ target, projectName }: NxTask) =>
    target === 'test' && counts.failedIn.includes(basename(projectName));
  const alone = failedTasks.filter((task) => !told(task));
  return {
    passed: counts.passed,
    failed: counts.failed + alone.length + unformatted.length,
    broken: [...failedTasks.map(({ taskId }) => taskId), ...unformatted.map((file) => `format of ${file}`)],
  };
}

async function projectFolders({ root, signal }: Session): Promise<string[]> {
  const { stdout } = await execa('git', ['ls-files', '-z', '--', ':(glob)*/*/package.json'], {
    cwd: root,
    cancelSignal: signal,
  });
  return stdout
    .split('\0')
    .filter((file) => file !== '')
    .map((file) => join(root, file, '..'));
}

/** Files that Prettier would write otherwise. */
async function checkFormat({ root, signal }: Session): Promise<string[]> {
  const { stdout, stderr, exitCode } = await execa(
    process.execPath,
    [join(root, 'node_modules/prettier/bin/prettier.cjs'), '--list-different', '.'],
    { cwd: root, reject: false, cancelSignal: signal, stdin: 'ignore' },
  );
  const files = stdout.split('\n').filter((line) => line !== '');
  return exitCode === 0 || files.length > 0 ? files : [stderr.split('\n')[0] ?? 'all files'];
}

/** The record of the run that began at `began` (milliseconds of the epoch); undefined where there is none. */
async function readTasks(root: string, began: number): Promise<NxTask[] | undefined> {
  const file = await unlessMissing(() => readFile(join(root, '.nx/cache/run.json'), 'utf8'));
  if (file === undefined) return undefined;
  const { run, tasks } = JSON.parse(file) as { run: { startTime: string }; tasks: NxTask[] };
  return Date.parse(run.startTime) >= began ? tasks : undefined;
}

/** Every wait that a test announced as a step, slowest first: in the tasks' own output, also where that was cached. */
async function namedWaits(
  root: string,
  tasks: readonly NxTask[],
): Promise<{ name: string; seconds: number }[]> {
  const outputs = await Promise.all(
    tasks.map(({ hash }) => readFile(join(root, '.nx/cache/terminalOutputs', hash), 'utf8').catch(() => '')),
  );
  return findWaits(outputs.join('\n'));
}

/** One line a name, for people: a long run waits for the same thing hundreds of times. */
export function slowest(
  waits: readonly { name: string; seconds: number }[],
): { name: string; seconds: number; times: number }[] {
  const byName = Map.groupBy(waits, ({ name }) => name);
  return [...byName].map(([name, all]) => ({
    name,
    seconds: Math.max(...all.map(({ seconds }) => seconds)),
    times: all.length,
  }));
}

export function findWaits(output: string): { name: string; seconds: number }[] {
  return [...output.matchAll(/^(wait for .+): done ([\d.]+) s/gm)]
    .map(([, name = '', seconds]) => ({ name, seconds: Number(seconds) }))
    .sort((a, b) => b.seconds - a.seconds);
}
