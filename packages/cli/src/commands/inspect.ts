import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { compareLocks, describeChange, type LockChange } from '@sovereign/base';
import { note, SovereignError, toSovereignError } from '@sovereign/report';
import {
  findVulnerabilities,
  keptContents,
  readContents,
  type Contents,
  type Vulnerability,
  type VulnerabilityReport,
} from '@sovereign/sbom';
import { readManifest, releaseId, type FoundService } from '@sovereign/service';
import { theService } from '../device.ts';
import { errorLines } from '../errors.ts';
import { wordOf } from '../services.ts';
import type { Run, Session } from '../session.ts';

/** How the built image differs from the release before. */
interface Difference {
  device: string;
  release: string;
  /** Null where nobody here knows what lies in that release. */
  changes: LockChange[] | null;
  /** Bytes of its image. */
  size: number;
}

/** Files of no package that are listed one by one; the rest is summed up. */
const LARGEST = 8;

export const inspect: Run = async (session) => {
  const service = theService(session);
  const contents = await builtContents(service);
  const before = await releaseBefore(session, service, contents);
  const report = session.own.cve === true ? await findVulnerabilities(contents) : undefined;
  const packages = contents.packages.toSorted((a, b) => b.stored - a.stored || b.bytes - a.bytes);
  return {
    json: {
      ...contents,
      packages,
      before: before ?? null,
      ...(report === undefined ? {} : { asOf: report.asOf, vulnerabilities: report.vulnerabilities }),
    },
    text: [
      ...describeContents({ ...contents, packages }),
      ...describeDifference(before, contents),
      ...(report === undefined ? [] : describeVulnerabilities(report)),
    ].join('\n'),
  };
};

async function builtContents(service: FoundService): Promise<Contents> {
  const dist = join(service.folder, 'dist');
  const manifest = existsSync(join(dist, 'manifest.json')) ? await readManifest(dist, 'root') : undefined;
  if (manifest?.contents !== undefined) return readContents(join(dist, manifest.contents.name));
  throw new SovereignError({
    code: 'not-built',
    what:
      manifest === undefined
        ? 'there is no built image'
        : 'the built image is from before contents were recorded',
    on: dist,
    hint: `Run sovereign build ${wordOf(service)}`,
  });
}

/** The release of the device that is not this image: the one that boots next, else the one before it. */
async function releaseBefore(
  session: Session,
  service: FoundService,
  contents: Contents,
): Promise<Difference | undefined> {
  try {
    const device = await session.devices.pick();
    const releases = await device.releases(service.definition);
    const before = releases.find(({ root }) => root.sha256 !== contents.image.sha256);
    if (before === undefined) return undefined;
    const there = await keptContents(before.root.sha256);
    return {
      device: device.id,
      release: releaseId(before),
      changes: there === undefined ? null : compareLocks(there, contents),
      size: before.root.size,
    };
  } catch (thrown) {
    // What is in the image does not hang on a device that is not there.
    note(`not compared with the release before: ${errorLines(toSovereignError(thrown)).join(' ')}`);
    return undefined;
  }
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`.padStart(9);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

export function describeContents({
  service,
  base,
  release,
  image,
  packages,
  trimmed,
  unowned,
}: Contents): string[] {
  const all = [...packages, ...unowned];
  const loose = unowned.toSorted((a, b) => b.stored - a.stored || b.bytes - a.bytes);
  const rest = loose.slice(LARGEST);
  const reasons = [...Map.groupBy(trimmed, ({ reason }) => reason)]
    .map(([reason, rules]) => ({ reason, rules, bytes: sum(rules.map(({ bytes }) => bytes)) }))
    .sort((a, b) => b.bytes - a.bytes);
  return [
    `${service}, ${base} ${release}: ${megabytes(image.size).trim()}, ${megabytes(sum(all.map(({ bytes }) => bytes))).trim()} unpacked, image ${image.sha256.slice(0, 12)}`,
    '',
    `${packages.length} packages: in the image, unpacked, trimmed`,
    ...packages.map(
      ({ name, version, stored, bytes, trimmed: left }) =>
        `${megabytes(stored)} ${megabytes(bytes)} ${left.bytes === 0 ? ' '.repeat(9) : megabytes(left.bytes)}  ${name} ${version}`,
    ),
    '',
    'of no package',
    ...loose
      .slice(0, LARGEST)
      .map(
        ({ path, stored, bytes, source }) => `${megabytes(stored)} ${megabytes(bytes)}  /${path} (${source})`,
      ),
    ...(rest.length === 0
      ? []
      : [
          `${megabytes(sum(rest.map(({ stored }) => stored)))} ${megabytes(sum(rest.map(({ bytes }) => bytes)))}  ${rest.length} more files`,
        ]),
    '',
    'trimmed',
    ...reasons.map(
      ({ reason, rules, bytes }) =>
        `${megabytes(bytes)}  ${reason} (${rules.map(({ glob }) => glob).join(', ')})`,
    ),
  ];
}

function describeDifference(before: Difference | undefined, { image }: Contents): string[] {
  if (before === undefined) return [];
  const { device, release, changes, size } = before;
  const grown = image.size - size;
  const head = `since release ${release.slice(0, 12)} on ${device}: ${grown < 0 ? '-' : '+'}${megabytes(Math.abs(grown)).trim()}`;
  if (changes === null) return ['', `${head}; what lies in that one is not known here`];
  return [
    '',
    head,
    ...(changes.length === 0 ? ['  the same packages'] : changes.map((one) => `  ${describeChange(one)}`)),
  ];
}

export function describeVulnerabilities({ asOf, vulnerabilities }: VulnerabilityReport): string[] {
  const shown = vulnerabilities.filter(({ urgency }) => urgency !== 'unimportant');
  const fixable = shown.filter(({ fixed }) => fixed !== undefined);
  const open = shown.filter(({ fixed }) => fixed === undefined);
  const line = ({ id, origin, version, fixed, urgency }: Vulnerability) =>
    `  ${id}  ${origin} ${version}${fixed === undefined ? '' : `, fixed in ${fixed}`}${urgency === undefined ? '' : ` (${urgency})`}`;
  const hidden = vulnerabilities.length - shown.length;
  return [
    '',
    `known vulnerabilities of its packages, as of ${asOf}: ${fixable.length} with a fix, ${open.length} without one`,
    ...(fixable.length === 0 ? [] : ['with a fix (sovereign lock takes it once the mirror has it)']),
    ...fixable.map(line),
    ...(open.length === 0 ? [] : ['without a fix yet']),
    ...open.map(line),
    ...(hidden === 0 ? [] : [`and ${hidden} that the distribution calls unimportant`]),
    'not covered: the kernel, and programs that Sovereign builds itself',
  ];
}
