import type { ScriptEffect } from '@sovereign/rootfs';

const upgrade = 'its scripts only clean up after older versions';
const merged = 'its scripts guard the move to a merged /usr, which the tree has from the start';

const postgresqlTools = (major: number, ...names: string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [`usr/bin/${name}`, `../lib/postgresql/${major}/bin/${name}`]));

const alternatives = (...names: string[]): Record<string, string> =>
  Object.fromEntries(
    names.flatMap((name) =>
      ['', '-restore', '-save'].map((suffix) => [`usr/sbin/${name}${suffix}`, `${name}-nft${suffix}`]),
    ),
  );

/**
 * What stands in for the install scripts (preinst, postinst) of every Debian package of the images. A package with
 * scripts that is not listed is refused when an image is composed. Libraries trigger ldconfig: the loader finds
 * the folder of the architecture without its cache.
 */
export const debianEffects: readonly ScriptEffect[] = [
  { package: 'ca-certificates', reason: 'the composer makes the bundle of all authorities' },
  { package: 'e2fsprogs', reason: 'its scripts enable timers of systemd' },
  { package: 'iproute2', reason: 'its scripts give a capability to ip for users who are not there' },
  {
    package: 'iptables',
    reason: 'alternatives: the nftables variant, which is the one with the higher priority',
    links: alternatives('iptables', 'ip6tables'),
  },
  { package: 'libc-bin', reason: 'nsswitch.conf is in the overlay' },
  { package: 'libc6', reason: 'its scripts restart services after an upgrade' },
  { package: 'libext2fs2t64', reason: merged },
  { package: 'libgcrypt20', reason: upgrade },
  { package: 'libgssapi-krb5-2', reason: upgrade },
  { package: 'libpam0g', reason: 'its scripts restart services after an upgrade' },
  { package: 'librc1t64', reason: merged },
  { package: 'libreadline8t64', reason: merged },
  { package: 'libselinux1', reason: upgrade },
  { package: 'libtirpc3t64', reason: merged },
  { package: 'netbase', reason: 'hosts come from the config disk; nothing reads networks' },
  { package: 'nftables', reason: 'its scripts enable a service of systemd; the guest loads its own rules' },
  {
    package: 'openrc',
    reason: 'its scripts add services of the distribution to runlevels; the overlay has ours',
  },
  {
    package: 'postgresql-17',
    reason: 'its scripts create a cluster through Debian wrappers; the guest makes its own on the data disk',
    links: postgresqlTools(
      17,
      'postgres',
      'initdb',
      'pg_ctl',
      'pg_controldata',
      'pg_checksums',
      'pg_amcheck',
    ),
  },
  {
    package: 'postgresql-client-17',
    reason: 'its scripts register manual pages; the wrappers that the links stand in for are left out',
    links: postgresqlTools(
      17,
      ...[
        'psql',
        'pg_dump',
        'pg_dumpall',
        'pg_restore',
        'pg_basebackup',
        'pg_isready',
        'pg_verifybackup',
        'pgbench',
      ],
      ...[
        'createdb',
        'dropdb',
        'createuser',
        'dropuser',
        'vacuumdb',
        'reindexdb',
        'clusterdb',
        'pg_receivewal',
      ],
    ),
  },
  { package: 'tzdata', reason: 'the overlay says UTC' },
];
