import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { compareLocks, describeChange, readLock, type Lock } from '@sovereign/base';
import { note, SovereignError } from '@sovereign/report';
import { runNx, type NxRun } from './nx.ts';
import type { Session } from './session.ts';

/** Runs targets; a lock that its mirror has outgrown is refreshed once on the way, unless `--locked`. */
export async function runRefreshing(session: Session, run: NxRun): Promise<void> {
  try {
    await runNx(run);
  } catch (thrown) {
    const stale = thrown instanceof SovereignError && thrown.code === 'stale-lock';
    if (!stale || session.flags.locked === true) throw thrown;
    note(`${thrown.what}; refreshing the lock`);
    for (const line of await refreshLocks(run)) note(line);
    await runNx(run);
  }
}

/** Makes the locks of these projects again and gives what changed, one line a package. */
export async function refreshLocks(run: NxRun): Promise<string[]> {
  const folders = (run.projects ?? []).map((project) => join(run.root, 'packages', project));
  const before = await readLocks(folders);
  await runNx({ ...run, targets: ['lock'], options: {} });
  const after = await readLocks(folders);
  return [...after].flatMap(([path, lock]) =>
    compareLocks(before.get(path), lock).map((change) => `${lock.base}: ${describeChange(change)}`),
  );
}

async function readLocks(folders: readonly string[]): Promise<Map<string, Lock>> {
  const files = await Promise.all(
    folders.map(async (folder) =>
      (await readdir(folder)).filter((name) => name.endsWith('.lock.json')).map((name) => join(folder, name)),
    ),
  );
  const locks = await Promise.all(
    files.flat().map(async (path) => {
      // A lock that cannot be read is made again; what it held before does not matter.
      const lock = await readLock(path).catch(() => undefined);
      return lock === undefined ? [] : [[path, lock] as const];
    }),
  );
  return new Map(locks.flat());
}
