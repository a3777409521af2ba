export {
  guestArch,
  type InstallScript,
  type LockRequest,
  type PackageBase,
  type PackageMetadata,
  type Unpacked,
} from './contract.ts';
export {
  compareLocks,
  describeChange,
  describeSize,
  lockDigest,
  lockPath,
  lockPaths,
  lockSchema,
  readLock,
  refuseOlder,
  writeLock,
  type Lock,
  type LockChange,
  type LockedPackage,
} from './lock.ts';
export { gathered } from './gathered.ts';
export { fetchPackages } from './debian/index.ts';
export { debianMirrors, mirrorHosts } from './debian/mirrors.ts';
export { openDeb } from './debian/deb.ts';

export { alpineBase } from './alpine/index.ts';
export { localApko, APKO_DEADLINE, APKO_VERSION, type ApkoResult, type ApkoRunner } from './alpine/apko.ts';
export { alpineIndex, BRANCH as alpineBranch } from './alpine/mirror.ts';
export { guestRelease } from './release.ts';
export { supportWarning } from './alpine/support.ts';
export { debian } from './debian/index.ts';
