import { existsSync } from 'node:fs';
import { readFile, rename } from 'node:fs/promises';
import { note, SovereignError } from '@sovereign/report';
import { canonicalJson, configDir, writeFileAtomic } from '@sovereign/store';
import { z } from 'zod';

const value = z.string().min(1);

const secretsSchema = z.strictObject({
  schema: z.literal(1),
  /** Service to secret to value. */
  services: z.record(z.string(), z.record(z.string(), value)),
  /**
   * Service to secret to the values that its guest may still have, newest first: there from the moment a new value is
   * kept until the guest is known to have it.
   */
  pending: z.record(z.string(), z.record(z.string(), z.array(value))).optional(),
});
export type Secrets = z.output<typeof secretsSchema>;

/** The folder of the owner's configuration that holds what belongs to one device. */
export const deviceConfigDir = (deviceId: string, ...parts: string[]): string =>
  configDir('devices', deviceId, ...parts);

const secretsFile = (deviceId: string): string => deviceConfigDir(deviceId, 'secrets.json');
/** The file as it was before its last change. */
const copyOf = (file: string): string => `${file}.before`;

/** True where this workstation holds the secrets of the device. */
export const knowsSecrets = (deviceId: string): boolean => existsSync(secretsFile(deviceId));

/**
 * The secrets of a device. Where the file is damaged, its copy of before the last change, where that is good.
 * @returns `copied`: it is the copy; what it lacks may have been in the file
 * @throws SovereignError `damaged-secrets`
 */
export async function readSecrets(deviceId: string): Promise<{ secrets: Secrets; copied: boolean }> {
  const file = secretsFile(deviceId);
  if (!existsSync(file)) return { secrets: { schema: 1, services: {} }, copied: false };
  const secrets = await parse(file);
  if (secrets !== undefined) return { secrets, copied: false };
  const copy = await parse(copyOf(file));
  if (copy === undefined) throw damagedSecrets(deviceId);
  note(`${file} is damaged and left as it is; its copy of before the last change is used`);
  return { secrets: copy, copied: true };
}

/** Replaces the file, keeping the one before as its copy; a damaged one is moved aside, never overwritten. */
export async function writeSecrets(deviceId: string, { pending = {}, ...secrets }: Secrets): Promise<void> {
  const file = secretsFile(deviceId);
  if (existsSync(file)) {
    if ((await parse(file)) === undefined) await keepDamaged(file);
    else await writeFileAtomic(copyOf(file), await readFile(file), 0o600);
  }
  const open = Object.fromEntries(
    Object.entries(pending).filter(([, names]) => Object.keys(names).length > 0),
  );
  const content = { ...secrets, ...(Object.keys(open).length === 0 ? {} : { pending: open }) };
  await writeFileAtomic(file, canonicalJson(content), 0o600);
}

async function keepDamaged(file: string): Promise<void> {
  let number = 1;
  while (existsSync(`${file}.damaged-${number}`)) number++;
  const kept = `${file}.damaged-${number}`;
  await rename(file, kept);
  note(`the damaged ${file} is kept as ${kept}`);
}

async function parse(file: string): Promise<Secrets | undefined> {
  try {
    return secretsSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    // No cause: it might quote the file.
    return undefined;
  }
}

export const damagedSecrets = (deviceId: string): SovereignError =>
  new SovereignError({
    code: 'damaged-secrets',
    what: 'the file that holds the secrets of this device cannot be read, and is left as it is',
    on: secretsFile(deviceId),
    hint: 'Restore it from a backup or by sovereign secrets import; moving it away would make new passwords, which the data does not know',
  });
