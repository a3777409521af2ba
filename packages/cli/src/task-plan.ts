import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { execa } from 'execa';
import type { NxRun } from './nx.ts';

/** What a run would do with one task, as tools/build-graph tells it. */
export interface PlannedTask {
  task: string;
  outcome: 'cached' | 'run' | 'open';
  why: string;
}

/** The longest that Nx may take to look at the workspace, in milliseconds. */
const TIMEOUT = 300_000;

/** Asks what a run would do, without doing any of it. */
export async function planTasks(run: NxRun): Promise<PlannedTask[]> {
  const { root, targets, projects, base, signal } = run;
  const { stdout, stderr, failed } = await execa(
    process.execPath,
    [
      '--no-warnings',
      '--env-file-if-exists=.env.local',
      join(root, 'tools/build-graph/src/main.ts'),
      ...['plan', JSON.stringify({ targets, projects })],
    ],
    {
      cwd: root,
      env: { NX_DAEMON: 'false', NX_TUI: 'false', ...(base === undefined ? {} : { SOVEREIGN_BASE: base }) },
      stdin: 'ignore',
      reject: false,
      timeout: TIMEOUT,
      cancelSignal: signal,
    },
  );
  signal.throwIfAborted();
  if (!failed) return JSON.parse(stdout) as PlannedTask[];
  throw new SovereignError({
    code: 'no-plan',
    what: 'what would be run could not be found out',
    on: stderr
      .split('\n')
      .find((line) => /error/i.test(line))
      ?.trim(),
    hint: 'Run the same without --dry-run, or look at ./nx graph',
  });
}

const words = { cached: 'from the cache', run: 'runs', open: 'runs, or comes from the cache' };

export const taskLine = ({ task, outcome, why }: PlannedTask): string =>
  `${task}: ${words[outcome]}${why === '' ? '' : `: ${why}`}`;
