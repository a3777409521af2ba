import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { canonicalJson, sha256, writeFileAtomic } from '@sovereign/store';
import { z } from 'zod';

const packageSchema = z.strictObject({
  name: z.string(),
  version: z.string(),
  /** Names the archive; where it is comes from outside the lock (docs/use.md, "Mirrors"). */
  archive: z.string(),
  /** Path inside that archive. */
  path: z.string().regex(/^(?!\/)(?!.*(^|\/)\.\.(\/|$))/),
  size: z.int().positive(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

/** Every package from outside, pinned: `debian.lock.json` and `alpine.lock.json`. */
export const lockSchema = z.strictObject({
  schema: z.literal(1),
  base: z.enum(['alpine', 'debian']),
  /** Debian's suite or Alpine's branch. */
  release: z.string(),
  /** Architecture in the base's own spelling. */
  arch: z.string(),
  /** What was asked for; a lock that answers another question is stale. */
  requested: z.array(z.string()),
  packages: z.array(packageSchema).min(1),
  /** By archive, when the youngest package of its index was built, in seconds since 1970 (Alpine). */
  newest: z.record(z.string(), z.int()).optional(),
});

export type Lock = z.output<typeof lockSchema>;
export type LockedPackage = Lock['packages'][number];

/**
 * Name of a lock. One of packages that other keys than Alpine's own vouch for (a mirror of somebody's packages, or of
 * tests) has a name that Git ignores: it must not pass for Alpine's.
 */
const lockName = (base: Lock['base'], own: boolean): string =>
  own && base === 'alpine' ? 'alpine.local.lock.json' : `${base}.lock.json`;

/** Where the lock of a folder is, by the keys that are set. */
export const lockPath = ({ folder }: { folder: string }, base: Lock['base']): string =>
  join(folder, lockName(base, (process.env.SOVEREIGN_ALPINE_KEYS ?? '') !== ''));

/** Where the lock of a folder is, whatever keys are set: one of these. */
export const lockPaths = ({ folder }: { folder: string }, base: Lock['base']): string[] =>
  [false, true].map((own) => join(folder, lockName(base, own)));

/** @throws SovereignError `bad-lock` for what is no JSON, such as a conflict that Git left, or no lock */
export async function readLock(path: string): Promise<Lock> {
  const text = await readFile(path, 'utf8');
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw badLock(path, (error as Error).message, error);
  }
  const parsed = lockSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  throw badLock(path, z.prettifyError(parsed.error));
}

const badLock = (path: string, why: string, cause?: unknown): SovereignError =>
  new SovereignError({
    code: 'bad-lock',
    what: `this is no lock: ${why.replaceAll('\n', ' ')}`,
    on: path,
    hint: 'Restore it from the repository, or make it again with ./sovereign lock',
    cause,
  });

export const writeLock = (path: string, lock: Lock): Promise<void> =>
  writeFileAtomic(path, canonicalJson(lock));

/** Digest of what the lock names; the hash input for everything that is made of it. */
export const lockDigest = (lock: Lock): string => sha256(canonicalJson(lock));

export interface LockChange {
  name: string;
  from: string | undefined;
  to: string | undefined;
}

interface Versions {
  packages: readonly Pick<LockedPackage, 'name' | 'version'>[];
}

/** What differs between two locks, or two images, by package name. */
export function compareLocks(before: Versions | undefined, after: Versions): LockChange[] {
  const old = new Map(before?.packages.map(({ name, version }) => [name, version]));
  const fresh = new Map(after.packages.map(({ name, version }) => [name, version]));
  return [...new Set([...old.keys(), ...fresh.keys()])]
    .sort()
    .map((name) => ({ name, from: old.get(name), to: fresh.get(name) }))
    .filter(({ from, to }) => from !== to);
}

/** What all packages of a lock take to fetch, and how that changed: `77 packages, 21.3 MB to fetch (+0.4 MB)`. */
export function describeSize(before: Lock | undefined, after: Lock): string {
  const total = (lock: Lock) => lock.packages.reduce((sum, { size }) => sum + size, 0);
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  const change = before === undefined ? 0 : total(after) - total(before);
  const sign = change < 0 ? '-' : '+';
  const changed = before === undefined ? '' : ` (${sign}${megabytes(Math.abs(change))} MB)`;
  return `${after.packages.length} packages, ${megabytes(total(after))} MB to fetch${changed}`;
}

/**
 * Refuses a lock of an index that is older than the one before was made of: a mirror that lags behind, or that
 * somebody holds back so that fixes do not arrive.
 * @throws SovereignError `old-mirror`
 */
export function refuseOlder(before: Lock | undefined, after: Lock, path: string): void {
  if (before?.release !== after.release) return;
  for (const [archive, was] of Object.entries(before.newest ?? {})) {
    const is = after.newest?.[archive];
    if (is === undefined || is >= was) continue;
    const day = (seconds: number) => new Date(seconds * 1000).toISOString();
    throw new SovereignError({
      code: 'old-mirror',
      what: `the mirror's index of ${archive} ends at ${day(is)}, older than the lock, which has seen ${day(was)}`,
      on: path,
      hint: 'Try another mirror (docs/use.md, "Mirrors"); to go back on purpose, delete the lock first',
    });
  }
}

/** One line for a person: `openrc 0.54-1 -> 0.55-1`, `+ zlib1g 1.3`, `- perl 5.40`. */
export function describeChange({ name, from, to }: LockChange): string {
  if (from === undefined) return `+ ${name} ${to ?? ''}`;
  if (to === undefined) return `- ${name} ${from}`;
  return `${name} ${from} -> ${to}`;
}
