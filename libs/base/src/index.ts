import { alpine } from './alpine.ts';
import type { PackageBase } from './contract.ts';
import { debian } from './debian/index.ts';

export type { InstallScript, LockRequest, PackageBase, PackageMetadata, Unpacked } from './contract.ts';
export {
  compareLocks,
  describeChange,
  lockDigest,
  lockSchema,
  readLock,
  writeLock,
  type Lock,
  type LockChange,
  type LockedPackage,
} from './lock.ts';
export { fetchPackages } from './debian/index.ts';
export { debianMirrors, mirrorHosts } from './debian/mirrors.ts';
export { openDeb } from './debian/deb.ts';

export const packageBases: Record<'alpine' | 'debian', PackageBase> = { alpine, debian };

/** The architecture of every guest, in the spelling of each base. */
export const guestArch = { alpine: 'aarch64', debian: 'arm64' } as const;

/** Why a base cannot be used in this version, or undefined where it can. */
export const baseUnavailable = (base: 'alpine' | 'debian'): string | undefined =>
  base === 'alpine' ? 'images with the Alpine base cannot be made yet' : undefined;
