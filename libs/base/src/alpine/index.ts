import { step } from '@sovereign/report';
import type { PackageBase } from '../contract.ts';
import { fetchLocked } from '../fetch.ts';
import type { ApkoRunner } from './apko.ts';
import { addressOf, alpineMirror } from './mirror.ts';
import { keysFolder } from './signature.ts';
import { solve } from './solve.ts';
import { unpack } from './unpack.ts';

/**
 * Alpine's packages, solved and unpacked by apko.
 * @param run `localApko` with the program that tools/apko builds, or another way to run the same version
 */
export const alpineBase = (run: ApkoRunner): PackageBase => ({
  lock: (request) =>
    step(`resolve ${request.packages.length} packages with apko`, async (handle) => {
      const lock = await solve(request, { mirror: alpineMirror(), keys: keysFolder() }, run);
      handle.detail(`${lock.packages.length} packages`);
      return lock;
    }),

  async unpack(lock, lockPath) {
    const addresses = ({ archive, path }: { archive: string; path: string }) =>
      Promise.resolve([addressOf(alpineMirror(), archive, path)]);
    return unpack(lock, await fetchLocked(lock.packages, lockPath, addresses, ''), run);
  },
});
