import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SovereignError } from '@sovereign/report';
import lockfile from 'proper-lockfile';

/** A lock whose holder gave no sign of life for this long is taken over, in milliseconds. */
const STALE = 20_000;

/**
 * Runs `work` while no other process runs any `work` on the same path. A holder that was killed does not block
 * for longer than {@link STALE}.
 * @param wait how long to wait for another holder, in milliseconds
 */
export async function withLock<T>(path: string, work: () => Promise<T>, wait = 3_600_000): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const release = await acquire(path, wait);
  try {
    return await work();
  } finally {
    await release();
  }
}

async function acquire(path: string, wait: number): Promise<() => Promise<void>> {
  const interval = 250;
  try {
    return await lockfile.lock(path, {
      realpath: false,
      stale: STALE,
      retries: { retries: Math.ceil(wait / interval), factor: 1, minTimeout: interval, maxTimeout: interval },
    });
  } catch (cause) {
    throw new SovereignError({
      code: 'locked',
      what: 'another sovereign process is at work on this',
      on: path,
      hint: 'Wait for it to end and run the command again',
      cause,
    });
  }
}
