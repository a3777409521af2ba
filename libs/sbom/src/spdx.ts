import { createHash } from 'node:crypto';
import type { LockedPackage, PackageMetadata } from '@sovereign/base';
import type { ComposedFile } from '@sovereign/rootfs';
import { sha256 } from '@sovereign/store';
import { goBuildInfo, type GoBuildInfo, type GoModule } from './go-build-info.ts';
import type { BuiltImage } from './image.ts';
import { spdxLicense } from './license.ts';
import { goUrl, packageUrl } from './purl.ts';

/** Nobody looked at it, or what was found says nothing. */
const UNKNOWN = 'NOASSERTION';

interface Checksum {
  algorithm: 'SHA1' | 'SHA256';
  checksumValue: string;
}

export interface SpdxPackage {
  SPDXID: string;
  name: string;
  versionInfo?: string;
  packageFileName?: string;
  supplier?: string;
  downloadLocation: string;
  filesAnalyzed: boolean;
  packageVerificationCode?: { packageVerificationCodeValue: string };
  checksums?: Checksum[];
  homepage?: string;
  sourceInfo?: string;
  licenseConcluded: string;
  licenseDeclared: string;
  licenseInfoFromFiles?: string[];
  copyrightText: string;
  comment?: string;
  externalRefs?: { referenceCategory: 'PACKAGE-MANAGER'; referenceType: 'purl'; referenceLocator: string }[];
  primaryPackagePurpose?: 'APPLICATION' | 'LIBRARY' | 'OPERATING-SYSTEM' | 'SOURCE';
}

interface SpdxFile {
  SPDXID: string;
  fileName: string;
  checksums: Checksum[];
  licenseConcluded: string;
  licenseInfoInFiles: string[];
  copyrightText: string;
}

interface Relationship {
  spdxElementId: string;
  relationshipType: 'DESCRIBES' | 'CONTAINS' | 'STATIC_LINK';
  relatedSpdxElement: string;
}

/** A document of the Software Package Data Exchange, version 2.3, as far as ours use it. */
export interface SpdxDocument {
  spdxVersion: 'SPDX-2.3';
  dataLicense: 'CC0-1.0';
  SPDXID: 'SPDXRef-DOCUMENT';
  name: string;
  documentNamespace: string;
  creationInfo: { created: string; creators: string[]; comment: string };
  packages: SpdxPackage[];
  files: SpdxFile[];
  hasExtractedLicensingInfos: { licenseId: string; extractedText: string }[];
  relationships: Relationship[];
}

const suppliers = { alpine: 'Organization: Alpine Linux', debian: 'Organization: Debian' } as const;

/**
 * The bill of materials of an image. The same image always gives the same document: it is named by digests, and its
 * time is the epoch, as that of every file of the image.
 * @see https://spdx.github.io/spdx-spec/v2.3/
 */
export function makeSpdx(built: BuiltImage): SpdxDocument {
  const { service, version, image, lock, metadata } = built;
  const ids = new Ids();
  const texts = new Map<string, string>();
  const said = new Map(metadata.map((words) => [words.name, words]));
  const root = imagePackage(built);
  const packages = lock.packages.map((entry) =>
    lockedPackage(built, entry, said.get(entry.name), ids, texts),
  );
  const modules = new Map<string, SpdxPackage>();
  const links: Relationship[] = [];
  const programs = programsOf(built).map(({ path, content, info }) => {
    const program = programPackage(path, content, info, ids);
    for (const module of info.modules) {
      const key = `${module.path}@${module.version}`;
      const linked = modules.get(key) ?? modulePackage(module, ids);
      modules.set(key, linked);
      links.push(related(program.SPDXID, 'STATIC_LINK', linked.SPDXID));
    }
    return program;
  });
  const ours = built.composed.files.filter(
    ({ path, source }) =>
      source !== 'package' && !programs.some(({ packageFileName }) => packageFileName === path),
  );
  const files = ours.map((file) => ownFile(file, ids));
  const overlay = overlayPackage(ours);
  const contained = [...packages, ...programs, overlay];
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: `sovereign-${service}-${lock.base}-${version}`,
    documentNamespace: `https://spdx.org/spdxdocs/sovereign-${service}-${lock.base}-${image.sha256}`,
    creationInfo: {
      created: '1970-01-01T00:00:00Z',
      creators: ['Tool: sovereign'],
      comment: 'The time is that of every file of the image, so that the same image has the same document.',
    },
    packages: [root, ...contained, ...modules.values()],
    files,
    hasExtractedLicensingInfos: [...texts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([licenseId, extractedText]) => ({ licenseId, extractedText })),
    relationships: [
      related('SPDXRef-DOCUMENT', 'DESCRIBES', root.SPDXID),
      ...contained.map(({ SPDXID }) => related(root.SPDXID, 'CONTAINS', SPDXID)),
      ...files.map(({ SPDXID }) => related(overlay.SPDXID, 'CONTAINS', SPDXID)),
      ...links,
    ],
  };
}

/** Unique names of elements: letters, digits, `.` and `-`. */
class Ids {
  readonly #taken = new Set<string>();

  make(kind: string, name: string): string {
    const plain = `SPDXRef-${kind}-${name.replace(/[^A-Za-z0-9.]+/g, '-')}`;
    let id = plain;
    for (let count = 2; this.#taken.has(id); count++) id = `${plain}-${count}`;
    this.#taken.add(id);
    return id;
  }
}

const related = (
  spdxElementId: string,
  relationshipType: Relationship['relationshipType'],
  relatedSpdxElement: string,
): Relationship => ({ spdxElementId, relationshipType, relatedSpdxElement });

const unknown = { licenseConcluded: UNKNOWN, licenseDeclared: UNKNOWN, copyrightText: UNKNOWN } as const;

const sha256sum = (checksumValue: string): Checksum => ({ algorithm: 'SHA256', checksumValue });
const purl = (referenceLocator: string): NonNullable<SpdxPackage['externalRefs']> => [
  { referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator },
];

const imagePackage = ({ service, version, image, lock }: BuiltImage): SpdxPackage => ({
  SPDXID: 'SPDXRef-Image',
  name: `sovereign-${service}`,
  versionInfo: version,
  packageFileName: image.name,
  downloadLocation: UNKNOWN,
  filesAnalyzed: false,
  checksums: [sha256sum(image.sha256)],
  ...unknown,
  comment: `Root file system of ${service}, made of ${lock.base} ${lock.release} for ${lock.arch}`,
  primaryPackagePurpose: 'OPERATING-SYSTEM',
});

function lockedPackage(
  { lock }: BuiltImage,
  entry: LockedPackage,
  words: PackageMetadata | undefined,
  ids: Ids,
  texts: Map<string, string>,
): SpdxPackage {
  const { name, version, path, sha256: digest } = entry;
  const license = spdxLicense(words?.license, words?.licenseTexts);
  for (const [id, text] of Object.entries(license.texts)) texts.set(id, text);
  const origin = words?.origin;
  return {
    SPDXID: ids.make('Package', name),
    name,
    versionInfo: version,
    packageFileName: path,
    supplier: suppliers[lock.base],
    downloadLocation: UNKNOWN,
    filesAnalyzed: false,
    checksums: [sha256sum(digest)],
    ...(words?.homepage === undefined ? {} : { homepage: words.homepage }),
    ...(origin === undefined
      ? {}
      : { sourceInfo: `built from source package: ${origin} ${words?.originVersion ?? version}` }),
    ...unknown,
    licenseDeclared: license.expression,
    externalRefs: purl(packageUrl(lock, entry, words)),
  };
}

interface Program {
  path: string;
  content: Buffer;
  info: GoBuildInfo;
}

const programsOf = ({ files }: BuiltImage): Program[] =>
  files.flatMap(({ path, content }) => {
    const info = Buffer.isBuffer(content) ? goBuildInfo(content) : undefined;
    return info === undefined || !Buffer.isBuffer(content) ? [] : [{ path, content, info }];
  });

function programPackage(path: string, content: Buffer, info: GoBuildInfo, ids: Ids): SpdxPackage {
  const { path: module, version } = info.main;
  const released = version.startsWith('v');
  return {
    SPDXID: ids.make('Program', path),
    name: info.path,
    ...(released ? { versionInfo: version } : {}),
    packageFileName: path,
    downloadLocation: UNKNOWN,
    filesAnalyzed: false,
    checksums: [sha256sum(sha256(content))],
    sourceInfo: `built by ${info.go} from module ${module}`,
    ...unknown,
    // A module of this repository is under its licence.
    ...(released ? { externalRefs: purl(goUrl(module, version)) } : { licenseDeclared: 'Apache-2.0' }),
    primaryPackagePurpose: 'APPLICATION',
  };
}

const modulePackage = ({ path, version, sum }: GoModule, ids: Ids): SpdxPackage => ({
  SPDXID: ids.make('Go', `${path}-${version}`),
  name: path,
  versionInfo: version,
  downloadLocation: UNKNOWN,
  filesAnalyzed: false,
  ...(sum === '' ? {} : { sourceInfo: `go.sum: ${sum}` }),
  ...unknown,
  externalRefs: purl(goUrl(path, version)),
  primaryPackagePurpose: 'LIBRARY',
});

const ownFile = ({ path, digests }: ComposedFile, ids: Ids): SpdxFile => ({
  SPDXID: ids.make('File', path),
  fileName: `./${path}`,
  checksums: [{ algorithm: 'SHA1', checksumValue: digests?.sha1 ?? '' }, sha256sum(digests?.sha256 ?? '')],
  licenseConcluded: UNKNOWN,
  licenseInfoInFiles: [UNKNOWN],
  copyrightText: UNKNOWN,
});

/** What this repository brings, and what it makes of packages and definition. */
function overlayPackage(files: readonly ComposedFile[]): SpdxPackage {
  const sums = files.map(({ digests }) => digests?.sha1 ?? '').sort();
  return {
    SPDXID: 'SPDXRef-Sovereign',
    name: 'sovereign',
    downloadLocation: UNKNOWN,
    filesAnalyzed: true,
    packageVerificationCode: {
      packageVerificationCodeValue: createHash('sha1').update(sums.join('')).digest('hex'),
    },
    ...unknown,
    licenseDeclared: 'Apache-2.0',
    licenseInfoFromFiles: [UNKNOWN],
    comment: 'Files of Sovereign itself: laid over the packages, or made from the definition of the service',
    primaryPackagePurpose: 'SOURCE',
  };
}
