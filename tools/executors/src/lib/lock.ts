import { existsSync } from 'node:fs';
import { packageBases } from '@sovereign/apko';
import {
  compareLocks,
  describeChange,
  describeSize,
  readLock,
  refuseOlder,
  supportWarning,
  writeLock,
  type Lock,
  type LockRequest,
  type PackageBase,
} from '@sovereign/base';
import { note, SovereignError } from '@sovereign/report';

/** Makes a lock, says what it changes, and writes it where it changed. */
export async function refreshLock(
  path: string,
  base: keyof typeof packageBases,
  request: LockRequest,
  bases: Readonly<Record<keyof typeof packageBases, Pick<PackageBase, 'lock'>>> = packageBases,
): Promise<void> {
  const before = await readBefore(path);
  const after: Lock = await bases[base].lock(request);
  refuseOlder(before, after, path);
  const changes = compareLocks(before, after);
  for (const change of changes) note(describeChange(change));
  note(changes.length === 0 ? 'the lock is up to date' : describeSize(before, after));
  const warning = after.base === 'alpine' ? supportWarning(after.release, after.packages) : undefined;
  if (warning !== undefined) note(`warning: ${warning}`);
  await writeLock(path, after);
}

/** Makes the lock as {@link refreshLock} would, and writes it elsewhere: the project's own stays as it is. */
export async function lookAhead(
  path: string,
  target: string,
  base: keyof typeof packageBases,
  request: LockRequest,
  bases: Readonly<Record<keyof typeof packageBases, Pick<PackageBase, 'lock'>>> = packageBases,
): Promise<void> {
  const after = await bases[base].lock(request);
  refuseOlder(await readBefore(path), after, path);
  await writeLock(target, after);
}

/** The lock that is to be made again; one that cannot be read, such as after a merge, is as good as none. */
async function readBefore(path: string): Promise<Lock | undefined> {
  if (!existsSync(path)) return undefined;
  try {
    return await readLock(path);
  } catch (error) {
    if (!(error instanceof SovereignError) || error.code !== 'bad-lock') throw error;
    note(`${path} could not be read and is made anew: ${error.what}`);
    return undefined;
  }
}
