import { existsSync } from 'node:fs';
import { chmod, cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { SovereignError } from '@sovereign/report';
import { canonicalJson, configDir, withLock, withScratch } from '@sovereign/store';
import { Decrypter, Encrypter } from 'age-encryption';
import { extract, pack } from 'tar-stream';
import { z } from 'zod';

/** Path to content, paths as they are below the owner's configuration: `devices/ID/secrets.json`. */
export type KitFiles = ReadonlyMap<string, Buffer>;

const headSchema = z.strictObject({ schema: z.literal(1), kind: z.literal('sovereign-recovery-kit') });
const HEAD = 'kit.json';
/** 2 to this power rounds of scrypt: what the age tool takes too, about a second. */
const WORK_FACTOR = 18;
const MAGIC = 'age-encryption.org/v1\n';
const SHORTEST = 10;

const UUID = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}';
/** What belongs to a device, and the password of the backups of all. */
const inKit = new RegExp(`^devices/(backup/password|${UUID}(/[A-Za-z0-9_][A-Za-z0-9._-]*){1,4})$`);
/** Locks, and what is made anew when it is needed. */
const passing = (name: string): boolean =>
  name.startsWith('.') || /\.(lock|tmp)$/.test(name) || name.startsWith('known-hosts-');

/** Everything that this workstation knows of its devices: secrets, keys, settings. */
export async function kitFiles(): Promise<KitFiles> {
  const files = new Map<string, Buffer>();
  const folder = configDir('devices');
  if (!existsSync(folder)) return files;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const full = join(entry.parentPath, entry.name);
    const path = `devices${full.slice(folder.length)}`;
    if (entry.isFile() && !path.split('/').some(passing) && inKit.test(path)) {
      files.set(path, await readFile(full));
    }
  }
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Encrypts a recovery kit with a passphrase: a tar in a file of age (https://age-encryption.org/v1), which the age tool
 * opens too.
 * @throws SovereignError `weak-passphrase`, `nothing-to-export`
 */
export async function sealKit(
  files: KitFiles,
  passphrase: string,
  workFactor = WORK_FACTOR,
): Promise<Uint8Array> {
  if (passphrase.length < SHORTEST) {
    throw new SovereignError({
      code: 'weak-passphrase',
      what: `the passphrase has ${passphrase.length} characters; it guards every secret, and ${SHORTEST} are the least`,
      hint: 'Six random words are a good one',
      exit: 2,
    });
  }
  if (files.size === 0) {
    throw new SovereignError({
      code: 'nothing-to-export',
      what: 'this workstation knows of no device',
      on: configDir('devices'),
      hint: 'The first sovereign up makes something to keep',
    });
  }
  const tar = pack();
  const entry = (name: string, content: Buffer | string) =>
    tar.entry({ name, mode: 0o600, mtime: new Date(0), uid: 0, gid: 0 }, content);
  entry(HEAD, canonicalJson({ schema: 1, kind: 'sovereign-recovery-kit' }));
  for (const [name, content] of files) entry(name, content);
  tar.finalize();
  const age = new Encrypter();
  age.setPassphrase(passphrase);
  age.setScryptWorkFactor(workFactor);
  return age.encrypt(await buffer(tar));
}

/** @throws SovereignError `not-a-kit`, `wrong-passphrase`, `damaged-kit`, `newer-kit` */
export async function openKit(kit: Uint8Array, passphrase: string, on: string): Promise<KitFiles> {
  if (!Buffer.from(kit.subarray(0, MAGIC.length)).equals(Buffer.from(MAGIC))) {
    throw refused(
      'not-a-kit',
      'this is no recovery kit',
      on,
      'Name the file that sovereign secrets export wrote',
    );
  }
  const files = await readTar(await decrypt(kit, passphrase, on)).catch(() => {
    throw damaged(on);
  });
  const head = files.get(HEAD);
  files.delete(HEAD);
  if (head === undefined || ![...files.keys()].every((path) => inKit.test(path))) throw damaged(on);
  try {
    headSchema.parse(JSON.parse(head.toString()));
  } catch {
    const what = 'this recovery kit is of another kind than this Sovereign knows';
    throw refused('newer-kit', what, on, 'Update Sovereign, or open the file with age and tar');
  }
  return files;
}

async function decrypt(kit: Uint8Array, passphrase: string, on: string): Promise<Uint8Array> {
  const age = new Decrypter();
  age.addPassphrase(passphrase);
  try {
    return await age.decrypt(kit);
  } catch (thrown) {
    // The package throws plain errors; this text is its own of 0.3.1.
    if (!String(thrown).includes('no identity matched')) throw damaged(on);
    throw refused(
      'wrong-passphrase',
      'this passphrase does not open it',
      on,
      'Try again; nothing was changed',
    );
  }
}

async function readTar(tar: Uint8Array): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for await (const entry of Readable.from([tar]).pipe(extract())) {
    if (entry.header.type !== 'file') throw new Error('not a file');
    files.set(entry.header.name, await buffer(entry));
  }
  return files;
}

/** What of a kit is not here yet, and what is here and differs. */
export async function compareKit(files: KitFiles): Promise<{ missing: string[]; differing: string[] }> {
  const [missing, differing]: [string[], string[]] = [[], []];
  for (const [path, content] of files) {
    const here = await readFile(configDir(path)).catch(() => undefined);
    if (here === undefined) missing.push(path);
    else if (!here.equals(content)) differing.push(path);
  }
  return { missing, differing };
}

/**
 * Takes over all files of a kit, or none: beside what is here a folder is made that holds both, and the two change
 * places. What was here before stays as `devices.before-import`, until the next import. Files that the kit lacks stay.
 */
export async function importKit(files: KitFiles): Promise<void> {
  await mkdir(configDir(), { recursive: true, mode: 0o700 });
  const [now, before] = [configDir('devices'), configDir('devices.before-import')];
  await withLock(configDir('import'), async () => {
    // One that was cut between its two renames.
    if (!existsSync(now) && existsSync(before)) await rename(before, now);
    await withScratch(now, async (next) => {
      await chmod(next, 0o700);
      if (existsSync(now))
        await cp(now, next, { recursive: true, filter: (path) => !passing(basename(path)) });
      for (const [path, content] of files) {
        const target = join(next, path.slice('devices/'.length));
        await mkdir(dirname(target), { recursive: true, mode: 0o700 });
        await writeFile(target, content, {
          mode: basename(target).endsWith('.pub') ? 0o644 : 0o600,
          flush: true,
        });
      }
      await swap(next, now, before);
    });
  });
}

async function swap(next: string, now: string, before: string): Promise<void> {
  if (!existsSync(now)) return rename(next, now);
  await rm(before, { recursive: true, force: true });
  await rename(now, before);
  try {
    await rename(next, now);
  } catch (thrown) {
    await rename(before, now);
    throw thrown;
  }
}

const refused = (code: string, what: string, on: string, hint: string): SovereignError =>
  new SovereignError({ code, what, on, hint });

const damaged = (on: string): SovereignError =>
  refused('damaged-kit', 'this recovery kit is damaged', on, 'Use another copy of it; nothing was changed');
