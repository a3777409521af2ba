import { readFile } from 'node:fs/promises';
import { debian, guestArch, type LockedPackage } from '@sovereign/base';
import { SovereignError } from '@sovereign/report';
import { canonicalJson, writeFileAtomic } from '@sovereign/store';
import { z } from 'zod';

const digest = z.string().regex(/^[0-9a-f]{64}$/);

/** `source.lock.json`: the kernel's source, pinned twice over, by where it comes from. */
export const sourceLockSchema = z.strictObject({
  schema: z.literal(1),
  kernelOrg: z.strictObject({
    version: z.string().regex(/^\d+\.\d+\.\d+$/),
    /** Path below kernel.org's `pub/`. */
    path: z.string(),
    sha256: digest,
    /** Public packaging records that name this digest, each made by people of its own. */
    records: z
      .array(z.strictObject({ project: z.string(), url: z.url(), note: z.string().optional() }))
      .min(2, 'at least two independent records'),
  }),
  /** The package as apt named it, its archive's signature checked. */
  debian: z.strictObject({
    name: z.string(),
    version: z.string(),
    archive: z.string(),
    path: z.string(),
    size: z.int().positive(),
    sha256: digest,
  }),
});

export type SourceLock = z.output<typeof sourceLockSchema>;

const sourceOrigins = ['kernel.org', 'debian'] as const;

/** Where the source comes from; `debian` is the configuration of that name. */
export type SourceOrigin = (typeof sourceOrigins)[number];

/**
 * Whose source it is: Debian's where the base is Debian, else kernel.org's, by the configuration
 * (`nx run kernel:build:debian`). Without one SOVEREIGN_KERNEL_SOURCE says it, and without that SOVEREIGN_BASE.
 * @param base the configuration
 */
export function chooseOrigin(base: string | undefined, env: NodeJS.ProcessEnv = process.env): SourceOrigin {
  const { SOVEREIGN_KERNEL_SOURCE: source = '', SOVEREIGN_BASE: recorded = '' } = env;
  if (base === undefined && source !== '') {
    const origin = sourceOrigins.find((name) => name === source);
    if (origin !== undefined) return origin;
    throw badSetting(`SOVEREIGN_KERNEL_SOURCE names no source of the kernel: ${source}`, sourceOrigins);
  }
  const name = base ?? recorded;
  if (name === 'debian') return 'debian';
  if (name === 'alpine' || name === '') return 'kernel.org';
  throw badSetting(`SOVEREIGN_BASE names no base: ${name}`, ['alpine', 'debian']);
}

const badSetting = (what: string, choices: readonly string[]): SovereignError =>
  new SovereignError({
    code: 'bad-setting',
    what,
    on: '.env.local, or the environment',
    hint: `Write one of ${choices.join(', ')}`,
  });

export async function readSourceLock(path: string): Promise<SourceLock> {
  const parsed = sourceLockSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
  if (parsed.success) return parsed.data;
  throw new SovereignError({
    code: 'bad-lock',
    what: `this is no lock of a kernel source: ${z.prettifyError(parsed.error).replaceAll('\n', ' ')}`,
    on: path,
    hint: 'Restore it from the repository',
  });
}

/** What is known of a source without fetching it. */
export interface KnownSource {
  /** Digest of the archive that it is unpacked from: the hash input that stands for the tree. */
  digest: string;
  /** For example `6.12.110`. */
  version: string;
}

export const describeSource = (lock: SourceLock, origin: SourceOrigin): KnownSource =>
  origin === 'kernel.org'
    ? { digest: lock.kernelOrg.sha256, version: lock.kernelOrg.version }
    : { digest: lock.debian.sha256, version: upstreamVersion(lock.debian.version) };

/** `6.12.117-1~deb13u1` is upstream's 6.12.117. */
const upstreamVersion = (version: string): string => version.replace(/-.*$/, '');

/** Debian's package of the kernel's source, whose series is that of the lock. */
const DEBIAN_PACKAGE = 'linux-source-6.12';

/**
 * Asks apt for Debian's newest source of the kernel, signatures checked, and writes it into the lock. Kernel.org's
 * entry is not touched: its digest comes from people who compared records, not from a program.
 * @returns what changed, for a person; empty where nothing did
 */
export async function refreshSourceLock(path: string): Promise<string[]> {
  const lock = await readSourceLock(path);
  const { packages } = await debian.lock({ packages: [DEBIAN_PACKAGE], arch: guestArch.debian });
  const found: LockedPackage | undefined = packages.find(({ name }) => name === DEBIAN_PACKAGE);
  if (found === undefined) throw new Error(`apt did not name ${DEBIAN_PACKAGE}`);
  if (found.sha256 === lock.debian.sha256) return [];
  await writeFileAtomic(path, canonicalJson({ ...lock, debian: found }));
  return [`${DEBIAN_PACKAGE} ${lock.debian.version} -> ${found.version}`];
}
