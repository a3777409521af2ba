import type { ScriptEffect } from '@sovereign/rootfs';

/**
 * The text that scripts of the test mirror have (docs/test-mirror.md): it does nothing. Listed so that the way from
 * a mirror to an image is the same for the stand-in as for Alpine's own.
 */
const standIn = 'f9d7ae658589e5d0f3a36b05c0cd38ec683f7273d56cc0fcec16731335d5faf2';

const account = 'makes an account; the composer writes those of the definition';

const postgresqlTools = (major: number, ...names: string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [`usr/bin/${name}`, `../libexec/postgresql${major}/${name}`]));

/**
 * What stands in for the install scripts and triggers of Alpine's packages, each by the digests of the texts that could
 * be read in Alpine's sources (aports); the packages themselves were not reached. A script that is new or reads
 * otherwise is refused when an image is composed, and shown: add its digest where the effect is still the whole truth.
 */
export const alpineEffects: readonly ScriptEffect[] = [
  {
    package: 'alpine-baselayout',
    reason: 'the group and the owner of shadow: the composer writes both',
    scripts: {
      '.pre-install': ['69c34d2b69814af28a369875cd657d726dec9e9c566ba3646fcc56f60c40531a'],
      '.post-install': ['dd30b63bfbe4f7d8085f57840e15b84015b3518d6f282a3e0924f73a61000016'],
    },
  },
  {
    package: 'busybox',
    reason:
      'links, which are made of the list that the package carries; an account for klogd, which is not started; ' +
      'lists of modules, of which the kernel has none',
    scripts: {
      '.post-install': [
        '13c120a1c714ecafa7fe1fc748406a89dfffc549118ebce324b53d4bbb4ba75f',
        '93775e0dd395cd2f426e0c207a5b4e9c4ad871648089707c74cc5ae9ee32080f',
      ],
      '.trigger': ['56be2f4b9f99be9fc281314cda5c5e3b45a8123e37ba4938f1405584ce1af443', standIn],
    },
  },
  {
    package: 'ca-certificates',
    reason: 'the composer makes the bundle of all authorities',
    scripts: { '.trigger': ['1bf77c8eae3220b1bd7dd86561d0899315f51d72257c1aeb4066072ed4304fe5'] },
  },
  {
    package: 'chrony',
    reason: account,
    scripts: { '.pre-install': ['27b7d8d3d43973b0cfa771e6f7cf024b1a5fb88cc5e4d15981ea45a9687e5d5d'] },
  },
  {
    package: 'forgejo',
    reason: account,
    // As the package of its long-term version has it, which says that it follows this one.
    scripts: { '.pre-install': ['caf3c86783854437ab2731735c491a34dc9b69dec6c69e694e0be323346739ce'] },
  },
  {
    package: 'icu-data-en',
    reason: 'only says that there is a package with more languages',
    scripts: { '.post-install': ['1b60012707d8e5c6735bbe4620a08335e019618b776462da11fe2574d4a3dba4'] },
  },
  {
    package: 'openrc',
    reason: 'moves what an init system of 2008 left; an image has none of it',
    scripts: {
      '.post-install': [
        '72d3256022ea596805d1b76bbc161ca57033c10bc461c373be79d60042ef0a77',
        'a935c65bdeecad83c43e1ed066590c8d039d3fb7a8235d1227ce3ce50c7ed19b',
        standIn,
      ],
    },
  },
  {
    package: 'postgresql-common',
    reason: 'the account is of the definition; the trigger links the tools of the default version',
    scripts: {
      // As the package had it before it was split; the text of today was not to be had.
      '.pre-install': ['64f7a88d390f28edc18f008bb6ce3f581f53d615973f7ef5540d4e991a6e8c67'],
      '.trigger': [
        'aa6012492e2280708caf9bf0c735bae7fb9478084064b80ac3f6eaf30cd1751b',
        'e6330ae9ef83c2cff335b03a468c790aac62dde2d784d2d946d9a3da6c5c8d2b',
        '96b3078877a4ae7319160fd15c145c50b9e6cddef68f774156b696f6dc0a7304',
        standIn,
      ],
    },
    links: postgresqlTools(
      17,
      ...['postgres', 'initdb', 'pg_ctl', 'pg_controldata', 'pg_checksums', 'pg_amcheck', 'psql', 'pg_dump'],
      ...[
        'pg_dumpall',
        'pg_restore',
        'pg_basebackup',
        'pg_isready',
        'pg_verifybackup',
        'pgbench',
        'createdb',
      ],
      ...['dropdb', 'createuser', 'dropuser', 'vacuumdb', 'reindexdb', 'clusterdb', 'pg_receivewal'],
    ),
  },
  {
    package: 'postgresql17',
    reason: 'only says where its JIT compiler is to be had',
    scripts: { '.post-install': [standIn] },
  },
  {
    package: 'tailscale',
    reason: account,
    scripts: {
      '.pre-install': ['6a34617b1ad21c3487add4db2206e487a3d2b7b3c8a2e39a5130fad531be8f96'],
      '.post-install': ['4b65c9a36b7dc50bad4ed83bed17d44ecb8cbbd9c96d20c80949063c88594545'],
    },
  },
  {
    package: 'vaultwarden',
    reason: account,
    scripts: { '.pre-install': ['bff1f41e29df8a0763001d2b8758527ad16f9d984420c7839ab7fb58be58d58e'] },
  },
];
