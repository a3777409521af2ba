import type { Base } from '@sovereign/service';
import type { Contents } from '../contents.ts';
import { compareAlpine } from '../versions/alpine.ts';
import { compareDebian } from '../versions/debian.ts';
import type { Advisories, Advisory } from './advisory.ts';
import { alpineAdvisories, alpineSources } from './alpine.ts';
import { debianAdvisories, debianSource } from './debian.ts';
import { fetchDocument } from './document.ts';

/** A known weakness of an image. */
export interface Vulnerability extends Advisory {
  /** Source package and the version of it that is in the image. */
  origin: string;
  version: string;
  /** Packages of the image that are made of it. */
  packages: string[];
}

export interface VulnerabilityReport {
  /** When the data were the distribution's newest, ISO 8601: of several documents, the oldest. */
  asOf: string;
  vulnerabilities: Vulnerability[];
}

/**
 * What the image's own distribution knows of the versions in it. It does not cover what is no package of it: the
 * kernel, and programs that Sovereign builds.
 * @throws SovereignError `no-advisories`, `bad-advisories`
 */
export async function findVulnerabilities(contents: Contents): Promise<VulnerabilityReport> {
  const origins = contents.packages.map(({ origin }) => origin);
  const sources = contents.base === 'debian' ? [debianSource()] : alpineSources(contents.release);
  const documents = [];
  for (const source of sources) documents.push(await fetchDocument(source));
  const data = documents.map((document) => document.data);
  const advisories =
    contents.base === 'debian'
      ? debianAdvisories(data[0], contents.release, origins)
      : alpineAdvisories(data, origins);
  return {
    asOf: documents.map(({ asOf }) => asOf).sort()[0] ?? '',
    vulnerabilities: matchAdvisories(contents, advisories),
  };
}

/** Those that the versions of an image still have; the ones with a fix first. Pure. */
export function matchAdvisories(
  { base, packages }: Pick<Contents, 'base' | 'packages'>,
  advisories: Advisories,
): Vulnerability[] {
  const byOrigin = Map.groupBy(packages, ({ origin, originVersion }) => `${origin} ${originVersion}`);
  return [...byOrigin.values()]
    .flatMap((made) => {
      const [first] = made;
      if (first === undefined) return [];
      const { origin, originVersion: version } = first;
      return (advisories.get(origin) ?? [])
        .filter(({ fixed }) => fixed === undefined || isOlder(base, version, fixed))
        .map((advisory) => ({ ...advisory, origin, version, packages: made.map(({ name }) => name) }));
    })
    .sort(
      (a, b) =>
        Number(a.fixed === undefined) - Number(b.fixed === undefined) ||
        compareText(a.origin, b.origin) ||
        compareText(a.id, b.id),
    );
}

const compareText = (a: string, b: string): number => (a < b ? -1 : Number(a > b));

/** What cannot be compared counts as older: it is shown rather than hidden. */
function isOlder(base: Base, version: string, fixed: string): boolean {
  const order = base === 'debian' ? compareDebian(version, fixed) : compareAlpine(version, fixed);
  return order === undefined || order < 0;
}
