export { debianPackages, makeTestMirror, type MirrorOptions, type TestMirror } from './mirror.ts';
export type { PackageInfo, UnsignedPackage } from './package.ts';
export { standInPrograms } from './stand-ins.ts';
