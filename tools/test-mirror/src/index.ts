export {
  ARCH,
  fileName,
  makeApk,
  makeData,
  makeIndex,
  type Apk,
  type PackageData,
  type PackageInfo,
} from './apk.ts';
export { BRANCH } from './layout.ts';
export {
  debianPackages,
  makeTestMirror,
  writeRepositories,
  type MirrorOptions,
  type TestMirror,
  type UnsignedPackage,
} from './mirror.ts';
export { makeKey, signatureMember, type SigningKey } from './sign.ts';
export { cutTar, makeTar, type TarEntry } from './tar.ts';
