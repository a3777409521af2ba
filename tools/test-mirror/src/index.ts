export { BRANCH, STAND_IN_SCRIPT } from './layout.ts';
export {
  debianPackages,
  makeTestMirror,
  writeRepositories,
  type MirrorOptions,
  type PackageInfo,
  type TestMirror,
  type UnsignedPackage,
} from './mirror.ts';
