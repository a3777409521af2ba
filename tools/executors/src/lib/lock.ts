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
} from '@sovereign/base';
import { note } from '@sovereign/report';

/** Makes a lock, says what it changes, and writes it where it changed. */
export async function refreshLock(
  path: string,
  base: keyof typeof packageBases,
  request: LockRequest,
): Promise<void> {
  const before = existsSync(path) ? await readLock(path) : undefined;
  const after: Lock = await packageBases[base].lock(request);
  refuseOlder(before, after, path);
  const changes = compareLocks(before, after);
  for (const change of changes) note(describeChange(change));
  note(changes.length === 0 ? 'the lock is up to date' : describeSize(before, after));
  const warning = after.base === 'alpine' ? supportWarning(after.release, after.packages) : undefined;
  if (warning !== undefined) note(`warning: ${warning}`);
  await writeLock(path, after);
}
