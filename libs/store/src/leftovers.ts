import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A name beside `path` for what gets that path by a rename once it is complete. It tells which process made it. */
export const temporaryBeside = (path: string): string => `${path}.${process.pid}.${randomUUID()}.tmp`;

/** Whether there is a process of this number, on any system, whoever it belongs to. */
function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Removes from a folder what processes that are gone left under such names. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = /\.(\d+)\.[0-9a-f-]+\.tmp$/.exec(name)?.[1];
    if (pid !== undefined && !lives(Number(pid))) {
      await rm(join(folder, name), { recursive: true, force: true });
    }
  }
}

/**
 * Runs some work with an empty folder of its own beside `path`, which is gone when the work ends; that of a killed
 * process goes with the next.
 */
export async function withScratch<T>(path: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = temporaryBeside(path);
  await mkdir(folder, { recursive: true });
  try {
    await removeLeftovers(dirname(path));
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
