/** What an index says of a package (apk-tools, src/package.c). */
export interface IndexedPackage {
  name: string;
  version: string;
  /** `C:`, as `identityOf` gives it. */
  identity: string;
  /** Bytes of the package file. */
  size: number;
  /** When it was built, in seconds since 1970. */
  buildTime: number;
}

/**
 * Reads the stanzas of an APKINDEX. As apk does, it leaves out one with an upper-case field that it does not know:
 * such a package needs a newer apk. So it does with one that lacks what a download needs.
 */
export function readIndex(text: string): IndexedPackage[] {
  return text.split(/\n{2,}/).flatMap((stanza) => {
    const fields = new Map(stanza.split('\n').map((line) => [line.slice(0, 1), line.slice(2)]));
    const unknown = [...fields.keys()].some((letter) => /[^CPVASITULDa-z]/.test(letter));
    const [name, version, identity] = ['P', 'V', 'C'].map((letter) => fields.get(letter));
    const size = Number(fields.get('S'));
    if (unknown || !name || !version || !identity || !Number.isSafeInteger(size) || size <= 0) return [];
    // Both become parts of a path.
    if (/[\s/\\]/.test(name + version) || name.startsWith('.')) return [];
    return [{ name, version, identity, size, buildTime: Number(fields.get('t') ?? 0) }];
  });
}

/** The youngest package's build time, in seconds since 1970: it goes back only where a mirror does. */
export const newest = (packages: readonly IndexedPackage[]): number =>
  packages.reduce((time, { buildTime }) => Math.max(time, buildTime), 0);
