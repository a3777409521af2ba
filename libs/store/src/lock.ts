import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SovereignError } from '@sovereign/report';
import lockfile from 'proper-lockfile';

/** A lock whose holder gave no sign of life for this long is taken over, in milliseconds. */
const STALE = 20_000;

/** Between two tries while another holds the lock, in milliseconds. */
const INTERVAL = 250;

export interface LockOptions {
  /** How long to wait for another holder, in milliseconds; an hour by default. */
  wait?: number;
  /** Ends the waiting. */
  signal?: AbortSignal;
  /** Called once where another holder has to be waited for. */
  onWait?: () => void;
}

/**
 * Runs `work` while no other process runs any `work` on the same path. A holder that was killed does not block
 * for longer than {@link STALE}.
 */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const release = await acquire(path, options);
  try {
    return await work();
  } finally {
    await release();
  }
}

async function acquire(
  path: string,
  { wait = 3_600_000, signal, onWait }: LockOptions,
): Promise<() => Promise<void>> {
  const end = performance.now() + wait;
  for (let tries = 0; ; tries++) {
    signal?.throwIfAborted();
    try {
      return await lockfile.lock(path, { realpath: false, stale: STALE });
    } catch (cause) {
      const held = (cause as NodeJS.ErrnoException).code === 'ELOCKED';
      if (!held || performance.now() >= end) throw locked(path, cause);
    }
    if (tries === 0) onWait?.();
    await sleep(INTERVAL);
  }
}

const locked = (path: string, cause: unknown): SovereignError =>
  new SovereignError({
    code: 'locked',
    what: 'another sovereign process is at work on this',
    on: path,
    hint: 'Wait for it to end and run the command again',
    cause,
  });
