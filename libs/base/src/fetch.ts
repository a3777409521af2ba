import { SovereignError, step } from '@sovereign/report';
import { fetchVerified } from '@sovereign/store';
import pMap from 'p-map';
import type { LockedPackage } from './lock.ts';

/** How many files are fetched side by side. */
export const PARALLEL = 6;

/**
 * Fetches what the store lacks; gives the paths in the order of the packages.
 * @param addresses where a package may be had; only asked where it is not stored, so that a build from a full store
 *   needs no mirror
 * @param stale what a hint says beside "refresh the lock" where the mirrors no longer have a version
 */
export async function fetchLocked(
  packages: readonly LockedPackage[],
  lockPath: string,
  addresses: (entry: LockedPackage) => Promise<readonly string[]>,
  stale: string,
): Promise<string[]> {
  const total = packages.reduce((sum, { size }) => sum + size, 0);
  return step('fetch packages', async (handle) => {
    let done = 0;
    const onBytes = (count: number) => handle.progress((done += count), total, 'bytes');
    const fetchOne = (entry: LockedPackage) => {
      const { name, version, size, sha256 } = entry;
      const download = { name: `${name} ${version}`, size, sha256, urls: () => addresses(entry) };
      return fetchVerified(download, onBytes).catch((error: unknown) => {
        throw asStale(error, download.name, lockPath, stale);
      });
    };
    return pMap(packages, fetchOne, { concurrency: PARALLEL });
  });
}

/** A mirror's path may hold characters that a URI may not. */
export const escapePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

/** Mirrors drop old versions within days, so a missing file says that the lock is old, not that something broke. */
function asStale(error: unknown, name: string, lockPath: string, hint: string): unknown {
  if (!(error instanceof SovereignError) || error.code !== 'not-found') return error;
  return new SovereignError({
    code: 'stale-lock',
    what: `the mirror no longer has ${name}`,
    on: lockPath,
    hint: `Refresh the lock with ./sovereign lock${hint}`,
    cause: error,
  });
}
