import type { ApkFile } from '@sovereign/base/testing';
import type { PackageInfo } from './package.ts';

/** An Alpine package of the mirror: what it is called, and what of the Debian packages it takes. */
export interface Plan extends Omit<PackageInfo, 'version' | 'origin'> {
  /** The Debian package whose version it has; `release` for what belongs to Alpine's release itself. */
  from: string;
  /** Further Debian packages that it is made of. */
  also?: readonly string[];
  /** What it takes of them, by path in Alpine's layout; all that no earlier plan took where not given. */
  takes?: RegExp;
  /** Files that no Debian package has. */
  adds?: readonly ApkFile[];
}

/** The release that the mirror stands in for. */
export const RELEASE = '3.24.1';

const text = (path: string, body: string, mode = 0o644): ApkFile => ({ path, body: Buffer.from(body), mode });
const link = (path: string, target: string): ApkFile => ({ path, link: target });

/**
 * What install scripts of the mirror say, where the text of the real one is more than a line. The guest declares
 * this text by its digest (packages/guest/alpine-effects.ts).
 */
export const STAND_IN_SCRIPT = '#!/bin/sh\n\n# Made by the test mirror, a stand-in: nothing to do.\n';

/** Where Debian's files lie in Alpine; the first rule that fits. A path that becomes empty is left out. */
const moves: readonly (readonly [from: RegExp, to: string])[] = [
  // Documentation, translations and headers are packages of their own in Alpine, which nobody asks for.
  [/^usr\/share\/(doc|man|locale|lintian|bug|bash-completion|zsh|gtk-doc)\/.*/, ''],
  [/^usr\/(include|share\/postgresql\/17\/man)\/.*/, ''],
  [/^usr\/lib\/(systemd|udev|tmpfiles\.d|mime)\/.*/, ''],
  [/^usr\/lib\/postgresql\/17\/lib\/(bitcode\/.*|llvmjit.*)/, ''],
  [/^usr\/lib\/postgresql\/17\/lib\/pgxs\/.*/, ''],
  [/^etc\/(cron\.d|init\.d|default|ld\.so\.conf.*|pam\.d|runlevels)(\/.*)?$/, ''],
  [/^usr\/lib\/locale\/(?!C\.utf8\/).*/, ''],
  [/^usr\/lib\/aarch64-linux-gnu\/gconv\/.*/, ''],

  [/^usr\/bin\/(busybox|ip|rc-status)$/, 'bin/$1'],
  // Debian's second name of it.
  [/^usr\/sbin\/ip$/, ''],
  [/^usr\/lib\/rc\//, 'usr/libexec/rc/'],
  [/^usr\/sbin\/(openrc.*|rc-.*|supervise-daemon)$/, 'sbin/$1'],
  [
    /^usr\/sbin\/((mkfs|fsck)\..*|mke2fs|e2fsck|tune2fs|e2label|resize2fs|dumpe2fs|debugfs|e2.*|ldconfig)$/,
    'sbin/$1',
  ],
  [/^usr\/lib\/aarch64-linux-gnu\/(ld-linux-aarch64\.so\.1|libc\.so\.6|libm\.so\.6)$/, 'lib/$1'],
  [/^usr\/lib\/ld-linux-aarch64\.so\.1$/, ''],
  [/^usr\/lib\/aarch64-linux-gnu\//, 'usr/lib/'],
  [/^usr\/lib\/git-core\//, 'usr/libexec/git-core/'],
  [/^usr\/lib\/postgresql\/17\/bin\//, 'usr/libexec/postgresql17/'],
  [/^usr\/lib\/postgresql\/17\/lib\//, 'usr/lib/postgresql17/'],
  [/^usr\/share\/postgresql\/17\//, 'usr/share/postgresql17/'],
];

/** The path that a file of Debian has in the mirror's packages; undefined where they have no such file. */
export function alpinePath(path: string): string | undefined {
  const move = moves.find(([from]) => from.test(path));
  const moved = move === undefined ? path : path.replace(move[0], move[1]);
  return moved === '' ? undefined : moved;
}

/** A service of the distribution, as it comes by itself beside OpenRC. */
const openrcPart = (name: string, from: string): Plan => ({
  name: `${name}-openrc`,
  from,
  description: `OpenRC service of ${name}`,
  installIf: [`${name}=VERSION`, 'openrc'],
  takes: /^$/,
  adds: [text(`etc/init.d/${name}`, '#!/sbin/openrc-run\n', 0o755)],
});

const conversions =
  /^usr\/lib\/postgresql17\/(.*_and_.*|plpgsql|dict_snowball|libpqwalreceiver|pgoutput)\.so$/;

/**
 * The packages that a definition asks for and those that Alpine's solver would bring, in the order in which they take
 * files. Libraries that are not named here come under Alpine's name or, where it has none, under Debian's.
 * `VERSION` in a relation stands for the package's own version.
 */
export const plans = (applets: readonly string[]): Plan[] => [
  {
    name: 'alpine-baselayout-data',
    from: 'netbase',
    license: 'GPL-2.0-only',
    description: 'Files of accounts, protocols and services',
    adds: [
      text('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n'),
      text('etc/group', 'root:x:0:root\nshadow:x:42:\nnobody:x:65534:\n'),
      { ...text('etc/shadow', 'root:*::0:::::\nnobody:!::0:::::\n', 0o640), group: 'shadow' },
      text('etc/fstab', '/dev/cdrom\t/media/cdrom\tiso9660\tnoauto,ro 0 0\n'),
      text('etc/hosts', '127.0.0.1\tlocalhost\n'),
      text('etc/inittab', '::sysinit:/sbin/openrc sysinit\n'),
      text('etc/nsswitch.conf', 'hosts: files dns\n'),
      text('etc/profile', '# Alpine sets PATH here.\n'),
      text('etc/shells', '/bin/sh\n/bin/ash\n'),
      link('etc/mtab', '../proc/mounts'),
    ],
  },
  {
    name: 'alpine-keys',
    from: 'release',
    license: 'MIT',
    description: 'Keys of the mirror; the real package has those of Alpine',
    adds: [text('usr/share/apk/keys/README', 'The keys of a test mirror are made when it starts.\n')],
  },
  {
    name: 'alpine-release',
    from: 'release',
    license: 'MIT',
    depends: ['alpine-keys'],
    adds: [
      text('etc/alpine-release', `${RELEASE}\n`),
      text('etc/issue', `Welcome to a stand-in for Alpine Linux ${RELEASE}\n`),
      text(
        'usr/lib/os-release',
        `NAME="Alpine Linux"\nID=alpine\nVERSION_ID=${RELEASE}\nPRETTY_NAME="A stand-in for Alpine"\n`,
      ),
      link('etc/os-release', '../usr/lib/os-release'),
    ],
  },
  {
    name: 'musl',
    from: 'libc6',
    license: 'LGPL-2.1-or-later',
    description: 'A stand-in: Debian’s C library (glibc), since its programs know no other',
  },
  {
    name: 'musl-utils',
    from: 'libc-bin',
    license: 'LGPL-2.1-or-later',
    description: 'A stand-in: tools of Debian’s C library, and its C.UTF-8',
  },
  {
    name: 'busybox',
    from: 'busybox',
    license: 'GPL-2.0-only',
    depends: [],
    replaces: ['busybox-initscripts'],
    triggers: ['/bin', '/usr/bin', '/sbin', '/usr/sbin', '/lib/modules/*'],
    scripts: {
      '.post-install': '#!/bin/sh\n\n/bin/busybox --install -s\n',
      '.trigger': STAND_IN_SCRIPT,
    },
    takes: /^bin\/busybox$/,
    adds: [text('etc/busybox-paths.d/busybox', applets.map((path) => `${path}\n`).join(''))],
  },
  {
    name: 'busybox-binsh',
    from: 'busybox',
    license: 'GPL-2.0-only',
    depends: ['busybox=VERSION'],
    provides: ['/bin/sh', 'cmd:sh=VERSION'],
    providerPriority: 100,
    takes: /^$/,
    adds: [link('bin/sh', '/bin/busybox')],
  },
  {
    name: 'busybox-ifupdown',
    from: 'busybox',
    license: 'GPL-2.0-only',
    depends: ['busybox=VERSION'],
    provides: ['ifupdown-any'],
    providerPriority: 200,
    takes: /^$/,
    adds: [text('etc/network/if-up.d/dad', '#!/bin/sh\n', 0o775)],
  },
  {
    name: 'ssl_client',
    from: 'busybox',
    license: 'GPL-2.0-only',
    installIf: ['busybox=VERSION', 'libssl3'],
    takes: /^$/,
    adds: [text('usr/share/doc/ssl_client', 'A stand-in: the real one is a program.\n')],
  },
  {
    name: 'ca-certificates-bundle',
    from: 'ca-certificates',
    license: 'MPL-2.0 AND MIT',
    provides: ['ca-certificates-cacert=VERSION'],
    adds: [link('etc/ssl/cert.pem', 'certs/ca-certificates.crt')],
  },
  { name: 'dropbear-convert', from: 'dropbear-bin', license: 'MIT', takes: /dropbearconvert$/ },
  { name: 'dropbear-dbclient', from: 'dropbear-bin', license: 'MIT', takes: /dbclient$/ },
  { name: 'dropbear', from: 'dropbear-bin', license: 'MIT' },
  openrcPart('dropbear', 'dropbear-bin'),
  {
    name: 'e2fsprogs-extra',
    from: 'e2fsprogs',
    license: 'GPL-2.0-or-later',
    depends: ['e2fsprogs=VERSION'],
    takes:
      /(badblocks|debugfs|dumpe2fs|e2freefrag|e2image|e2label|e2mmpstatus|e2undo|e4crypt|e4defrag|filefrag|mklost\+found|resize2fs|tune2fs|chattr|lsattr)$/,
  },
  { name: 'e2fsprogs', from: 'e2fsprogs', license: 'GPL-2.0-or-later', takes: /^(sbin|etc\/mke2fs)/ },
  {
    name: 'iproute2-minimal',
    from: 'iproute2',
    license: 'GPL-2.0-or-later',
    takes: /^bin\/ip$|^usr\/share\/iproute2/,
  },
  {
    name: 'iproute2',
    from: 'iproute2',
    license: 'GPL-2.0-or-later',
    depends: ['iproute2-minimal=VERSION'],
    takes: /^usr\/s?bin/,
  },
  {
    name: 'iptables',
    from: 'iptables',
    license: 'GPL-2.0-or-later',
    // Debian chooses by alternatives, Alpine's package has the links.
    adds: ['iptables', 'ip6tables'].flatMap((name) =>
      ['', '-restore', '-save'].map((end) => link(`usr/sbin/${name}${end}`, 'xtables-nft-multi')),
    ),
  },
  openrcPart('iptables', 'iptables'),
  { name: 'nftables', from: 'nftables', license: 'GPL-2.0-or-later', takes: /^usr\/sbin/ },
  openrcPart('nftables', 'nftables'),
  {
    name: 'openrc',
    from: 'openrc',
    also: ['libeinfo1', 'librc1t64'],
    license: 'BSD-2-Clause',
    depends: ['openrc-user=VERSION', 'ifupdown-any', '/bin/sh'],
    provides: ['openrc-user=VERSION'],
    providerPriority: 100,
    // Where Debian's programs were told at compile time that this is.
    adds: [
      link('usr/lib/rc', '../libexec/rc'),
      text('etc/init.d/networking', '#!/sbin/openrc-run\n', 0o755),
      link('sbin/service', '/sbin/rc-service'),
    ],
    scripts: { '.post-install': STAND_IN_SCRIPT },
  },
  {
    name: 'icu-data-full',
    from: 'libicu76',
    license: 'ICU',
    description: 'A stand-in: Debian has the data of ICU within its library',
    takes: /^$/,
    adds: [text('usr/share/icu/README', 'The data of ICU is within libicudata here.\n')],
  },
  { name: 'icu-libs', from: 'libicu76', license: 'ICU' },
  {
    name: 'git',
    from: 'git',
    license: 'GPL-2.0-only',
    // What a client and a server call; Alpine's package has all but the scripts in Perl.
    takes:
      /^usr\/(bin\/git(-receive-pack|-upload-archive|-upload-pack)?|libexec\/git-core\/git-remote-https?|share\/git-core\/templates\/.*)$/,
    adds: [
      link('usr/libexec/git-core/git', '../../bin/git'),
      // Where Debian's program was told at compile time that this is.
      link('usr/lib/git-core', '../libexec/git-core'),
    ],
  },
  { name: 'git-lfs', from: 'git-lfs', license: 'MIT', depends: ['git'] },
  { name: 'sqlite', from: 'sqlite3', license: 'blessing', takes: /^usr\/bin\/sqlite3$/ },
  { name: 'tzdata', from: 'tzdata', license: 'CC0-1.0', takes: /^usr\/share\/zoneinfo/ },
  {
    name: 'postgresql-common',
    from: 'postgresql-17',
    license: 'MIT',
    triggers: ['/usr/libexec/postgresql*', '/usr/share/postgresql*'],
    scripts: {
      '.trigger': STAND_IN_SCRIPT,
    },
    takes: /^$/,
    adds: [text('usr/sbin/pg_versions', '#!/bin/sh\n', 0o755)],
  },
  {
    name: 'postgresql17-client',
    from: 'postgresql-client-17',
    also: ['postgresql-17'],
    license: 'PostgreSQL',
    depends: ['postgresql-common'],
    provides: ['postgresql-client', 'cmd:psql'],
    takes:
      /^usr\/libexec\/postgresql17\/(clusterdb|createdb|createuser|dropdb|dropuser|pg_amcheck|pg_basebackup|pg_combinebackup|pg_dump|pg_dumpall|pg_isready|pg_receivewal|pg_recvlogical|pg_restore|pg_verifybackup|pgbench|psql|reindexdb|vacuumdb)$|^usr\/share\/postgresql17\/psqlrc/,
    adds: [text('usr/libexec/postgresql17/PG_VERSION', '17\n')],
  },
  {
    name: 'postgresql17',
    from: 'postgresql-17',
    license: 'PostgreSQL',
    depends: ['postgresql17-client', 'postgresql-common', 'tzdata'],
    provides: ['postgresql', 'cmd:postgres', 'cmd:initdb', 'cmd:pg_ctl'],
    providerPriority: 17,
    takes: new RegExp(
      `${conversions.source}|^usr/libexec/postgresql17/(?!oid2name|vacuumlo)|^usr/share/postgresql17/(?!extension/(?!plpgsql)|contrib)`,
    ),
    adds: [
      { path: 'var/lib/postgresql', mode: 0o750, user: 'postgres', group: 'postgres' },
      { path: 'etc/postgresql17', mode: 0o750, user: 'postgres', group: 'postgres' },
      link('usr/bin/postgres17', '/usr/libexec/postgresql17/postgres'),
      // Where Debian's server was told at compile time that these are.
      link('usr/lib/postgresql/17/lib', '../../postgresql17'),
      link('usr/share/postgresql/17', '../postgresql17'),
    ],
    scripts: { '.post-install': STAND_IN_SCRIPT },
  },
  {
    name: 'postgresql17-contrib',
    from: 'postgresql-17',
    license: 'PostgreSQL',
    depends: ['postgresql17=VERSION'],
    provides: ['postgresql-contrib'],
    takes: /^usr\/(lib|libexec|share)\/postgresql17\//,
  },
];

/** Alpine's names of libraries, by Debian's. */
export const libraryNames: Readonly<Record<string, string>> = {
  libblkid1: 'libblkid',
  libbpf1: 'libbpf',
  libbrotli1: 'brotli-libs',
  libcap2: 'libcap2',
  'libcom-err2': 'libcom_err',
  'libcurl3t64-gnutls': 'libcurl',
  libedit2: 'libedit',
  libelf1t64: 'libelf',
  libexpat1: 'libexpat',
  libext2fs2t64: 'e2fsprogs-libs',
  libffi8: 'libffi',
  'libgcc-s1': 'libgcc',
  libgnutls30t64: 'gnutls',
  'libidn2-0': 'libidn2',
  libjansson4: 'jansson',
  libldap2: 'libldap',
  'liblz4-1': 'lz4-libs',
  liblzma5: 'xz-libs',
  libmnl0: 'libmnl',
  libncursesw6: 'libncursesw',
  libnettle8t64: 'nettle',
  libnftnl11: 'libnftnl',
  'libnghttp2-14': 'nghttp2-libs',
  'libnghttp3-9': 'nghttp3',
  'libngtcp2-16': 'libngtcp2',
  'libp11-kit0': 'p11-kit',
  'libpcre2-8-0': 'pcre2',
  libpq5: 'libpq',
  libpsl5t64: 'libpsl',
  libreadline8t64: 'readline',
  librtmp1: 'librtmp',
  'libsasl2-2': 'libsasl',
  'libsqlite3-0': 'sqlite-libs',
  'libssh2-1t64': 'libssh2',
  libssl3t64: 'libssl3',
  'libstdc++6': 'libstdc++',
  'libtasn1-6': 'libtasn1',
  libtomcrypt1: 'libtomcrypt',
  libtommath1: 'libtommath',
  libunistring5: 'libunistring',
  libuuid1: 'libuuid',
  libxml2: 'libxml2',
  'libxslt1.1': 'libxslt',
  libxxhash0: 'xxhash',
  libzstd1: 'zstd-libs',
  zlib1g: 'zlib',
};
