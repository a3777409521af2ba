import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  compareLocks,
  describeChange,
  lockPath,
  readLock,
  type Lock,
  type LockChange,
} from '@sovereign/base';
import { note, step, toSovereignError } from '@sovereign/report';
import { findVulnerabilities, fixesOf, readContents } from '@sovereign/sbom';
import { readManifest, type FoundService } from '@sovereign/service';
import { nxRun } from './commands/build.ts';
import { errorLines } from './errors.ts';
import { runNx } from './nx.ts';
import { wordOf } from './services.ts';
import type { Session } from './session.ts';

/** A package that the index has another version of. */
export interface NewerPackage extends LockChange {
  /** Vulnerabilities of the built image that it mends. */
  fixes: string[];
}

/** What the index of a service's base has newer than its lock. */
export interface Newer {
  service: FoundService;
  /** As a lock would be made now. */
  lock: Lock;
  /** Where the lock in force is. */
  path: string;
  /** Security fixes first. */
  changes: NewerPackage[];
  /** False where nobody could say which changes are security fixes. */
  securityKnown: boolean;
}

/** Solves as `lock` does, and leaves every lock as it is. */
export async function lookForNewer(session: Session, services: readonly FoundService[]): Promise<Newer[]> {
  const into = await mkdtemp(join(tmpdir(), 'sovereign-newer-'));
  try {
    await runNx(await nxRun(session, services, ['lock'], { into }));
    const found: Newer[] = [];
    for (const service of services) {
      const lock = await readLock(join(into, `${service.project}.lock.json`));
      found.push(await compare(service, lock));
    }
    return found;
  } finally {
    await rm(into, { recursive: true });
  }
}

async function compare(service: FoundService, lock: Lock): Promise<Newer> {
  const path = lockPath(service, lock.base);
  const now = existsSync(path) ? await readLock(path) : undefined;
  const changes = compareLocks(now, lock);
  const fixes = changes.length === 0 ? new Map<string, string[]>() : await securityFixes(service, changes);
  const marked = changes.map((change) => ({ ...change, fixes: fixes?.get(change.name) ?? [] }));
  return {
    service,
    lock,
    path,
    changes: marked.toSorted((a, b) => Number(b.fixes.length > 0) - Number(a.fixes.length > 0)),
    securityKnown: fixes !== undefined,
  };
}

/** Undefined where there is nothing to know it from; says so. */
async function securityFixes(
  service: FoundService,
  changes: readonly LockChange[],
): Promise<Map<string, string[]> | undefined> {
  const dist = join(service.folder, 'dist');
  const manifest = existsSync(join(dist, 'manifest.json')) ? await readManifest(dist, 'root') : undefined;
  if (manifest?.contents === undefined) {
    note(`nobody knows which are security fixes: no image of ${wordOf(service)} is built`);
    return undefined;
  }
  try {
    const contents = await readContents(join(dist, manifest.contents.name));
    const { vulnerabilities } = await step('look for security fixes', () => findVulnerabilities(contents));
    return fixesOf(contents, changes, vulnerabilities);
  } catch (thrown) {
    note(`nobody knows which are security fixes: ${errorLines(toSovereignError(thrown)).join(' ')}`);
    return undefined;
  }
}

/** For people: a line for each service, and one for each package. */
export function describeNewer({ service, lock, changes, securityKnown }: Newer): string[] {
  const word = `${wordOf(service)} (${lock.base})`;
  if (changes.length === 0) return [`${word}: the index has nothing newer`];
  const fixing = changes.filter(({ fixes }) => fixes.length > 0).length;
  const security = securityKnown
    ? `, ${fixing} with security fixes`
    : '; which are security fixes is not known';
  return [
    `${word}: ${changes.length} ${changes.length === 1 ? 'package differs' : 'packages differ'} in the index${security}`,
    ...changes.map((change) => {
      const { fixes } = change;
      return fixes.length === 0
        ? `            ${describeChange(change)}`
        : `  security  ${describeChange(change)} (${fixes.join(', ')})`;
    }),
  ];
}
