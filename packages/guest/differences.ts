import type { Base, ServiceDefinition } from '@sovereign/service';
import type { GeneratedFile } from '@sovereign/rootfs';

/** One thing that is another on each base; `{major}` stands for the major version of the service's data. */
export interface Difference extends Readonly<Record<Base, string>> {
  reason: string;
}

/**
 * All that scripts of the guest have to know of the base that they run on, written to /etc/sovereign/base.conf by
 * name. What the composer does per base lies beside it: packages.ts, trim.ts, rewrites.ts and the effects of scripts.
 */
export const differences = {
  'openrc-folder': {
    alpine: '/usr/libexec/rc',
    debian: '/usr/lib/rc',
    reason:
      'OpenRC looks for its helpers, and we for a saved dependency cache, below the folder that it was built with',
  },
  'postgresql-programs': {
    alpine: '/usr/libexec/postgresql{major}',
    debian: '/usr/lib/postgresql/{major}/bin',
    reason: 'both keep the programs of each major version apart, each in a way of its own',
  },
} as const satisfies Readonly<Record<string, Difference>>;

/** What needs no word of the guest's scripts: differences that were looked at, and why they change nothing. */
export const harmless: readonly Difference[] = [
  {
    alpine: 'musl',
    debian: 'glibc',
    reason:
      'the server sorts by its builtin C.UTF-8, so no index depends on the C library; nsswitch.conf is read by glibc ' +
      'alone and says what musl does anyway; our own programs are linked statically',
  },
  {
    alpine: 'icu-data-full',
    debian: 'libicu76',
    reason:
      'collations of languages that an owner asks for by name: PostgreSQL keeps the version of each with the index ' +
      'and warns when it is another',
  },
  {
    alpine: 'links to BusyBox of the list that its package carries',
    debian: 'links to BusyBox of applets.ts',
    reason: 'what our scripts call is in both; a test on a running guest starts every service',
  },
  {
    alpine: 'its postgres account lives in /var/lib/postgresql',
    debian: 'its postgres account has an id that is chosen at installation',
    reason: 'accounts are ours on both: 70:70, at home on the data disk',
  },
];

/** The value of a difference for a service on a base. */
export const differenceOf = (
  name: keyof typeof differences,
  base: Base,
  { data }: Pick<ServiceDefinition, 'data'>,
): string => differences[name][base].replace('{major}', String(data.major));

/** /etc/sovereign/base.conf: KEY VALUE lines (docs/formats.md, "Guest"). */
export function baseFile(definition: ServiceDefinition, base: Base): GeneratedFile {
  const names = Object.keys(differences) as (keyof typeof differences)[];
  return {
    path: 'etc/sovereign/base.conf',
    content: names.map((name) => `${name} ${differenceOf(name, base, definition)}\n`).join(''),
  };
}
