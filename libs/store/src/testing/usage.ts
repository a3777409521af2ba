import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** Time between two looks, in milliseconds. */
const INTERVAL = 100;

/**
 * Looks until work has ended, and gives the most that was seen. What is looked with waits for nothing: the threads that
 * read files for this process may be taken by the work.
 */
export async function peakOf<T>(look: () => number, work: Promise<T>): Promise<{ result: T; peak: number }> {
  let peak = 0;
  const settled = work.then(
    () => true,
    () => true,
  );
  do peak = Math.max(peak, look());
  while (!(await Promise.race([settled, pause(INTERVAL, false)])));
  return { result: await work, peak };
}

/**
 * Bytes of memory that the processes below one hold, itself not counted. A page that several hold counts once among
 * them (Pss of proc_pid_smaps(5)): a process that has forked, and has yet to become another program, shares them all.
 */
export function residentBelow(pid = process.pid): number {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const [, parent] = /^PPid:\s+(\d+)$/m.exec(readGone(join('/proc', name, 'status'))) ?? [];
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  const isBelow = (child: number): boolean => {
    const parent = parents.get(child);
    return parent !== undefined && (parent === pid || isBelow(parent));
  };
  let sum = 0;
  for (const child of parents.keys()) {
    if (!isBelow(child)) continue;
    // A process that has just ended has no memory.
    const maps = readGone(join('/proc', String(child), 'smaps_rollup'));
    sum += Number(/^Pss:\s+(\d+) kB$/m.exec(maps)?.[1] ?? 0) * 1024;
  }
  return sum;
}

/** A process may have ended since it was listed. */
function readGone(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Bytes that the files of a folder take on disk; nothing where it is not there. */
export function sizeOf(folder: string): number {
  let sum = 0;
  try {
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      const found = lstatSync(join(folder, name), { throwIfNoEntry: false });
      if (found?.isFile() === true) sum += found.blocks * 512;
    }
  } catch {
    // Folders go while it is looked at.
  }
  return sum;
}
