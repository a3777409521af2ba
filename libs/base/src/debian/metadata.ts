import type { PackageMetadata } from '../contract.ts';
import type { LockedPackage } from '../lock.ts';
import { licenseOf } from './copyright.ts';
import { controlFields } from './deb822.ts';

/** What a package says of itself, in its own words. */
export interface DebianWords {
  /** Its `control` file (deb-control(5)). */
  control: string;
  /** Its `copyright` file, where it carries one of its own. */
  copyright?: string;
  /** The package whose documentation it links to instead. */
  documentedBy?: string;
}

/**
 * @param words of every package of the lock, in its order: packages of one source share one copyright file
 */
export function packageMetadata(
  packages: readonly LockedPackage[],
  words: readonly DebianWords[],
): PackageMetadata[] {
  const byName = new Map(packages.map(({ name }, index) => [name, words[index]]));
  return packages.map(({ name, version }, index) => {
    const own = words[index];
    const fields = controlFields(own?.control ?? '');
    const [, origin = name, originVersion] =
      /^(\S+)(?: \((\S+)\))?$/.exec(fields.get('source') ?? name) ?? [];
    const copyright =
      own?.copyright ??
      (own?.documentedBy === undefined ? undefined : byName.get(own.documentedBy)?.copyright);
    const homepage = fields.get('homepage');
    return {
      name,
      version,
      origin,
      ...(originVersion === undefined ? {} : { originVersion }),
      ...(homepage === undefined ? {} : { homepage }),
      ...(copyright === undefined ? {} : licenseOf(copyright)),
    };
  });
}
