import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EVENTS_VARIABLE, readEvents } from '@sovereign/report';
import { withLock, workspaceRoot } from '@sovereign/store';

/**
 * Runs `work` while no test of this checkout runs Nx, which takes away what was built and puts it back: what another one
 * reads of it meanwhile would be half there.
 */
export const whileBuilt = <T>(work: () => Promise<T>): Promise<T> =>
  withLock(join(workspaceRoot(), '.nx/lab'), work);

/** Commands of ./sovereign that run Nx. */
const commands = ['up', 'deploy', 'test'];

export const runsNx = ([command = '']: readonly string[]): boolean => commands.includes(command);

/**
 * Runs what runs Nx, with this environment. The others' turn comes once Nx is done: the machine that then starts, or is
 * checked, takes much longer.
 */
export async function runNx<T>(run: (env: Record<string, string>) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'sovereign-events-'));
  const events = join(folder, 'events');
  try {
    // In an object: it is not to be waited for here.
    const { running } = await whileBuilt(async () => {
      const ended = new AbortController();
      const running = run({ [EVENTS_VARIABLE]: events }).finally(() => ended.abort());
      const begins = () =>
        existsSync(events) && readEvents(events).some(({ step }) => /^(start|check) \S+$/.test(step));
      while (!ended.signal.aborted && !begins()) await sleep(100);
      return { running };
    });
    return await running;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
