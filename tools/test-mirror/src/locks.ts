import { join } from 'node:path';
import { debian, guestArch, readLock, writeLock } from '@sovereign/base';
import { note, SovereignError } from '@sovereign/report';
import { workspaceRoot } from '@sovereign/store';

const sqlLock = join(workspaceRoot(), 'packages/rootfs-sql/debian.lock.json');
export const ownLock = join(import.meta.dirname, '../debian.lock.json');

/** What tests run on this machine beside git itself. */
export const hostLock = join(import.meta.dirname, '../host.amd64.lock.json');

/** The locks of the Debian packages that the mirror's are made of. */
export const lockPaths: readonly string[] = [sqlLock, ownLock];

/** What Forgejo runs beside PostgreSQL's packages. */
const packages = ['git', 'git-lfs', 'sqlite3'];

/** What apt brings along for them and nothing in the mirror is made of. */
const leaveOut = [
  // Perl: git's scripts in it are left out too.
  ...['liberror-perl', 'libperl5.40', 'perl', 'perl-base', 'perl-modules-5.40'],
  ...['libbz2-1.0', 'libcrypt1', 'libdb5.3t64', 'libgdbm-compat4t64', 'libgdbm6t64'],
  // Documentation, and settings of what is not there.
  ...['gcc-14-base', 'git-man', 'libsasl2-modules-db', 'openssl-provider-legacy', 'readline-common'],
];

/**
 * Does work that takes the mirror's own locks. Where Debian's mirrors have outgrown one, both are made anew first, as
 * `./sovereign selftest` does with those of the services.
 */
export async function withOwnLocks<T>(work: () => Promise<T>, lock = lockOwn): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SovereignError) || error.code !== 'stale-lock') throw error;
    if (error.on !== ownLock && error.on !== hostLock) throw error;
    note(`${error.what}; refreshing the lock`);
    await lock();
    return work();
  }
}

/** Pins the mirror's own packages, those of the other lock stay there, and git-lfs for this machine. */
export async function lockOwn(): Promise<void> {
  const elsewhere = (await readLock(sqlLock)).packages.map(({ name }) => name);
  const request = { packages, arch: guestArch.debian, leaveOut: [...leaveOut, ...elsewhere] };
  await writeLock(ownLock, await debian.lock(request));
  // One program that needs the C library and a git: the machine has both.
  const lfs = await debian.lock({ packages: ['git-lfs'], arch: 'amd64' });
  await writeLock(hostLock, { ...lfs, packages: lfs.packages.filter(({ name }) => name === 'git-lfs') });
}
