import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import { execa } from 'execa';
import type { Session } from './session.ts';

/** Narrows the chosen services to those that a change since `--since` reaches, where `--affected` is given. */
export async function affectedServices({
  root,
  flags,
  chosen,
  signal,
}: Session): Promise<readonly FoundService[]> {
  if (flags.affected !== true) return chosen;
  const { stdout, failed, stderr } = await execa(
    process.execPath,
    [
      join(root, 'node_modules/nx/dist/bin/nx.js'),
      ...['show', 'projects', '--affected', '--json'],
      ...(flags.since === undefined ? [] : [`--base=${flags.since}`]),
    ],
    {
      cwd: root,
      reject: false,
      cancelSignal: signal,
      stdin: 'ignore',
      env: { NX_DAEMON: 'false', NX_TUI: 'false' },
    },
  );
  if (failed) {
    signal.throwIfAborted();
    throw new SovereignError({
      code: 'bad-reference',
      what: 'what changed could not be found out',
      on: flags.since,
      hint:
        stderr.split('\n').find((line) => line.includes('fatal')) ?? 'Name a commit or branch with --since',
    });
  }
  const projects = JSON.parse(stdout) as string[];
  return chosen.filter(({ project }) => projects.includes(project));
}
