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
 * Bytes of memory that the processes below one hold, itself not counted: the sum of their resident pages, so that what
 * several share counts for each (proc_pid_status(5)).
 */
export function residentBelow(pid = process.pid): number {
  const processes = new Map<number, { parent: number; resident: number }>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const status = readGone(join('/proc', name, 'status'));
    const [, parent] = /^PPid:\s+(\d+)$/m.exec(status) ?? [];
    // A process that has just ended has no memory.
    const [, resident = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
    if (parent === undefined) continue;
    processes.set(Number(name), { parent: Number(parent), resident: Number(resident) * 1024 });
  }
  const isBelow = (parent: number): boolean => {
    if (parent === pid) return true;
    const above = processes.get(parent);
    return above !== undefined && isBelow(above.parent);
  };
  let sum = 0;
  for (const { parent, resident } of processes.values()) if (isBelow(parent)) sum += resident;
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
