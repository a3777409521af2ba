import { existsSync } from 'node:fs';
import { glob } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { compareLocks, describeChange, describeSize, lockPaths, readLock, type Lock } from '@sovereign/base';
import { note, SovereignError } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import { runNx, type NxRun } from './nx.ts';
import { wordOf } from './services.ts';
import type { Session } from './session.ts';

/** The project whose `lock` target writes this file: a library that brings tools, or a folder of packages. */
function lockedBy(root: string, file = ''): string {
  const path = relative(root, file);
  const folder = basename(dirname(path));
  return path.startsWith('libs/') ? `@sovereign/${folder}` : folder;
}

/** The services of a run that have no lock for its base; whose keys are set may be known to Nx alone, by .env.local. */
function withoutLock({ services }: Session, { base, root, projects = [] }: NxRun): FoundService[] {
  if (base === undefined) return [];
  const hasLock = (project: string) =>
    lockPaths({ folder: join(root, 'packages', project) }, base).some((path) => existsSync(path));
  return services.filter(({ project }) => projects.includes(project) && !hasLock(project));
}

/**
 * Runs targets; a lock that is not there yet, or that its mirror has outgrown, is made on the way, unless `--locked`:
 * each once, since one that is stale right after it was made will not be mended by making it again.
 */
export async function runRefreshing(session: Session, run: NxRun): Promise<void> {
  const missing = session.flags.locked === true ? [] : withoutLock(session, run);
  if (missing.length > 0) {
    note(`there is no ${run.base} lock yet of ${missing.map(wordOf).join(', ')}: it is made now`);
    await refreshLocks({ ...run, projects: missing.map(({ project }) => project) });
  }
  const refreshed = new Set<string | undefined>();
  for (;;) {
    try {
      await runNx(run);
      return;
    } catch (thrown) {
      const stale = thrown instanceof SovereignError && thrown.code === 'stale-lock';
      if (!stale || session.flags.locked === true || refreshed.has(thrown.on)) throw thrown;
      refreshed.add(thrown.on);
      note(`${thrown.what}; refreshing the lock`);
      // What changed is announced by the tasks themselves.
      await refreshLocks({ ...run, projects: [lockedBy(run.root, thrown.on)] });
    }
  }
}

/** Makes the locks of these projects again, or every lock, and gives what changed: a line a package, and the size. */
export async function refreshLocks(run: NxRun): Promise<string[]> {
  const before = await readLocks(run.root);
  await runNx({ ...run, targets: ['lock'], options: {} });
  const after = await readLocks(run.root);
  return [...after].flatMap(([path, lock]) => {
    const changes = compareLocks(before.get(path), lock);
    if (changes.length === 0) return [];
    const lines = [...changes.map(describeChange), describeSize(before.get(path), lock)];
    return lines.map((line) => `${basename(dirname(path))} (${lock.base}): ${line}`);
  });
}

async function readLocks(root: string): Promise<Map<string, Lock>> {
  const found = new Map<string, Lock>();
  for await (const path of glob('{packages,libs,tools}/*/*.lock.json', { cwd: root })) {
    // A lock that cannot be read is made again; what it held before does not matter.
    const lock = await readLock(join(root, path)).catch(() => undefined);
    if (lock !== undefined) found.set(path, lock);
  }
  return found;
}
