import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** A name beside `path` for what gets that path by a rename once it is complete. It tells which process made it. */
export const temporaryBeside = (path: string): string => `${path}.${process.pid}.${randomUUID()}.tmp`;

/** Removes from a folder what processes that are gone left under such names. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = /\.(\d+)\.[0-9a-f-]+\.tmp$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) {
      await rm(join(folder, name), { recursive: true, force: true });
    }
  }
}
