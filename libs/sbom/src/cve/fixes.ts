import type { Contents } from '../contents.ts';
import { compareAlpine } from '../versions/alpine.ts';
import { compareDebian } from '../versions/debian.ts';
import type { Vulnerability } from './index.ts';

/** A package whose version changes. */
interface Change {
  name: string;
  to: string | undefined;
}

/**
 * Names of the vulnerabilities of an image that a change of its packages mends, by package. A package may have another
 * version than its source, of which security data speak: then there is a fix and a newer package, and that counts. Pure.
 */
export function fixesOf(
  { base, packages }: Pick<Contents, 'base' | 'packages'>,
  changes: readonly Change[],
  vulnerabilities: readonly Vulnerability[],
): Map<string, string[]> {
  const compare = base === 'debian' ? compareDebian : compareAlpine;
  const found = new Map<string, string[]>();
  for (const { name, to } of changes) {
    const own = packages.find((one) => one.name === name);
    const reaches = (fixed: string): boolean => {
      if (to === undefined || own?.version !== own?.originVersion) return true;
      const order = compare(to, fixed);
      return order === undefined || order >= 0;
    };
    const ids = vulnerabilities
      .filter((one) => one.packages.includes(name) && one.fixed !== undefined && reaches(one.fixed))
      .map(({ id }) => id);
    if (ids.length > 0) found.set(name, ids);
  }
  return found;
}
