export {
  debianPackages,
  makeTestMirror,
  type MirrorOptions,
  type PackageInfo,
  type TestMirror,
  type UnsignedPackage,
} from './mirror.ts';
export { standInPrograms } from './stand-ins.ts';
