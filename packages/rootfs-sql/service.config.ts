import { defineService } from '@sovereign/service';
import { guestLeavesOut, guestPackages } from '@sovereign/guest';

const llvm =
  'the compiler of JIT, which is off: it is larger than all the rest and pays for long queries only';
const perl = 'perl, for Debian wrappers around the server tools; the guest calls the server tools themselves';
const wrappers = 'Debian wrappers that manage several clusters; the guest has one and starts it itself';

export default defineService({
  name: 'sql',
  title: 'PostgreSQL 17',
  net: { index: 2 },
  bases: {
    alpine: {
      packages: [
        ...guestPackages.alpine,
        'icu-data-full',
        'postgresql17',
        'postgresql17-client',
        'postgresql17-contrib',
      ],
      leaveOut: { ...guestLeavesOut.alpine },
    },
    debian: {
      packages: [...guestPackages.debian, 'postgresql-17', 'postgresql-client-17'],
      leaveOut: {
        ...guestLeavesOut.debian,
        libffi8: llvm,
        libllvm19: llvm,
        'libz3-4': llvm,
        'libgdbm-compat4t64': perl,
        libgdbm6t64: perl,
        'libio-pty-perl': perl,
        'libipc-run-perl': perl,
        'libjson-perl': perl,
        'libperl5.40': perl,
        'libtext-charwidth-perl': perl,
        'libtext-wrapi18n-perl': perl,
        perl,
        'perl-modules-5.40': perl,
        'postgresql-client-common': wrappers,
        'postgresql-common': wrappers,
        'postgresql-common-dev': wrappers,
        'libsasl2-modules-db': 'password files of SASL; LDAP logins use none',
        'libc-l10n': 'translations',
        locales: 'the server sorts with its builtin C.UTF-8, which libc-bin and PostgreSQL carry',
        libncursesw6: 'only the full-screen tools of procps link against it',
        'libproc2-0': 'only procps links against it',
        procps: 'BusyBox has the same tools',
        'readline-common': 'documentation, and a default that is built in',
        'sensible-utils': 'chooses editors for install scripts',
        'ssl-cert': 'makes a certificate at installation; the port is forwarded over SSH, adb or a tailnet',
        ucf: 'merges settings at installation',
      },
    },
  },
  accounts: [{ name: 'postgres', uid: 70, gid: 70, home: '/data/postgresql', shell: '/bin/sh' }],
  resources: { memory: 256, cpus: 2 },
  data: { kind: 'postgresql', major: 17, collation: 'builtin C.UTF-8', size: 2048 },
  ports: [
    {
      name: 'postgres',
      guest: 5432,
      host: 15432,
      tailnet: 5432,
      scheme: 'postgresql',
      user: 'postgres',
      path: '/postgres',
    },
  ],
  secrets: [
    {
      name: 'postgres-password',
      make: 'password',
      description: 'Password of the database superuser, postgres',
    },
  ],
  units: ['postgresql'],
  health: { command: '/usr/lib/sovereign/health', deadline: 120 },
  kernel: ['CONFIG_SYSVIPC', 'CONFIG_POSIX_MQUEUE'],
});
