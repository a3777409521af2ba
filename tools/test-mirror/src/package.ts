import type { ApkData, ApkOptions } from '@sovereign/base/testing';

/** What a package says of itself. */
export type PackageInfo = Omit<ApkOptions, 'files' | 'data'>;

/** A package before it is signed. */
export interface UnsignedPackage {
  info: PackageInfo;
  data: ApkData;
}
