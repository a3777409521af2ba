import type { Base } from '@sovereign/service';

/** What every guest is made of, as each base spells it; a service adds its own. */
export const guestPackages: Record<Base, readonly string[]> = {
  alpine: [
    'alpine-baselayout-data',
    'alpine-release',
    'busybox',
    'busybox-binsh',
    'ca-certificates-bundle',
    'dropbear',
    'dropbear-convert',
    'e2fsprogs',
    'e2fsprogs-extra',
    'iproute2',
    'iptables',
    'musl-utils',
    'nftables',
    'openrc',
    'tzdata',
  ],
  debian: [
    'busybox',
    'ca-certificates',
    'dropbear-bin',
    'e2fsprogs',
    'iproute2',
    'iptables',
    'libc-bin',
    'netbase',
    'nftables',
    'openrc',
    'tzdata',
  ],
};

const perl =
  'perl scripts of package installation and of Debian wrappers; no program that runs in the guest uses it';
const installation = 'used by install scripts only, and none is run';
const network = 'sets up the network in the way of the distribution; the guest brings its own';
const accounts = 'changes accounts; the composer writes them from the definition';

/**
 * Packages that the solver brings along and the image leaves out, each with the reason. That nothing in the image
 * is linked against them is checked when the image is composed.
 */
export const guestLeavesOut: Record<Base, Readonly<Record<string, string>>> = {
  alpine: {
    'alpine-keys': 'keys for a package manager that is not there',
    bridge: network,
    'busybox-ifupdown': network,
    'ifupdown-ng': network,
  },
  debian: {
    adduser: accounts,
    'base-passwd': accounts,
    debconf: installation,
    'gcc-14-base': 'documentation only',
    'init-system-helpers': installation,
    insserv: 'orders LSB scripts; the services of the guest are in OpenRC form',
    libacl1: 'only package management and coreutils link against it',
    libattr1: 'only package management and coreutils link against it',
    'libaudit-common': 'settings of an audit daemon that is not there',
    'libbz2-1.0': 'only package management links against it',
    'libcap2-bin': 'command line tools that nothing calls',
    'libdb5.3t64': 'only arpd of iproute2 links against it, which is trimmed',
    libdebconfclient0: installation,
    'libpam-modules': 'nothing in the guest logs in through PAM',
    'libpam-modules-bin': 'nothing in the guest logs in through PAM',
    'libsemanage-common': accounts,
    libsemanage2: accounts,
    libsepol2: accounts,
    'libtirpc-common': 'names of RPC transports; no RPC service is there',
    'login.defs': accounts,
    logsave: 'a log helper of the boot scripts of Debian, which are not used',
    openssl: 'the command line tool; ca-certificates wants it for its install script only',
    'openssl-provider-legacy': 'ciphers that were given up',
    passwd: accounts,
    'perl-base': perl,
    'sysvinit-utils': 'BusyBox has the same tools',
  },
};
