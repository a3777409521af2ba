/** Mount points and folders that the overlay's links and services need, without a leading slash. */
export const guestDirectories: readonly string[] = [
  'data',
  'dev',
  'etc/conf.d',
  'etc/runlevels/shutdown',
  'etc/runlevels/sysinit',
  'proc',
  'root',
  'run',
  'sys',
  'tmp',
  'var',
  'var/cache',
  'var/empty',
  'var/lib',
];

/**
 * Links of every guest, by path without a leading slash: what changes lies in memory, what a program expects at an
 * old place is found there. No links of the overlay, since tools that walk the checkout would follow them.
 */
export const guestLinks: Readonly<Record<string, string>> = {
  'etc/hosts': '/run/hosts',
  'etc/localtime': '/usr/share/zoneinfo/Etc/UTC',
  'etc/mtab': '/proc/mounts',
  'etc/resolv.conf': '/run/resolv.conf',
  'root/.ssh': '/run/root-ssh',
  'usr/bin/tailscale': '/usr/sbin/tailscaled',
  'var/lock': '/run/lock',
  'var/log': '/run/log',
  'var/run': '/run',
  'var/tmp': '/tmp',
};
