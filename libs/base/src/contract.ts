import type { Readable } from 'node:stream';
import type { Lock } from './lock.ts';

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

export interface Unpacked {
  /**
   * An uncompressed tar of all packages in the order of the lock, with numeric owners; later entries win over
   * earlier ones of the same path.
   */
  tar: Readable;
  scripts: InstallScript[];
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
