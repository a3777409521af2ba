import type { Readable } from 'node:stream';
import type { Lock } from './lock.ts';

/** The architecture of every guest, in the spelling of each base. */
export const guestArch = { alpine: 'aarch64', debian: 'arm64' } as const;

export interface LockRequest {
  packages: readonly string[];
  /** Architecture in the base's own spelling: `arm64` for Debian, `aarch64` for Alpine. */
  arch: string;
  /** Packages that the solver may bring and that are left out of the lock. */
  leaveOut?: readonly string[];
}

/** An install script that a package carries. None is ever run; each has to be known. */
export interface InstallScript {
  package: string;
  /** `preinst`, `postinst`, `.post-install`, `.trigger`… as the base calls it. */
  name: string;
  text: string;
}

/** What a package says of itself. */
export interface PackageMetadata {
  name: string;
  version: string;
  /**
   * Its licences as an SPDX expression as far as the distribution's words could be read as one, else those words.
   * What has no SPDX name is a `LicenseRef-…`.
   */
  license?: string;
  /** Texts of what `license` names by `LicenseRef-…`, by that name. */
  licenseTexts?: Readonly<Record<string, string>>;
  /** Source package. */
  origin?: string;
  /** Version of the source package, where it is not the package's own. */
  originVersion?: string;
  homepage?: string;
}

export interface Unpacked {
  /**
   * An uncompressed tar of all packages in the order of the lock, with numeric owners; later entries win over
   * earlier ones of the same path.
   */
  tar: Readable;
  /** The names of owners (`uname` and `gname` of the tar) count, and what the image's accounts call by them. */
  ownersByName?: true;
  scripts: InstallScript[];
  /** What each package says of itself, in the order of the lock. */
  metadata?: readonly PackageMetadata[];
  /**
   * The package that an entry comes from, by the entry's name in the tar; undefined for what no package has. It is
   * only asked for entries that were read already.
   */
  ownerOf?: (name: string) => string | undefined;
}

/** Where packages come from. One implementation a distribution. */
export interface PackageBase {
  /** Solves and verifies signatures; the result names every file by digest. */
  lock(request: LockRequest): Promise<Lock>;
  /**
   * Fetches what is missing, verified against the lock, and unpacks it; runs no foreign code and needs no root.
   * @param lockPath where the lock was read, for messages
   * @throws SovereignError `stale-lock`, on `lockPath`, when a mirror has dropped a version that the lock names
   */
  unpack(lock: Lock, lockPath: string): Promise<Unpacked>;
}
