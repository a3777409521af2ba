import type { Account, Group } from '@sovereign/rootfs';

/** Accounts that every guest has; nobody has a password, and only root has a shell. */
export const guestAccounts: readonly Account[] = [
  // Logs in through SSH, by the owner's key alone.
  { name: 'root', uid: 0, gid: 0, home: '/root', shell: '/bin/sh' },
  { name: 'nobody', uid: 65_534, gid: 65_534, home: '/nonexistent', shell: '/sbin/nologin' },
];

/** Groups beside those of the accounts: those that device nodes and OpenRC's own folders belong to. */
export const guestGroups: readonly Group[] = [
  { name: 'tty', gid: 5 },
  { name: 'uucp', gid: 14 },
];
