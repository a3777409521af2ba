import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile } from 'node:fs/promises';
import { SovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { canonicalJson, configDir, withLock, writeFileAtomic } from '@sovereign/store';
import { z } from 'zod';

const secretsSchema = z.strictObject({
  schema: z.literal(1),
  /** Service to secret to value. */
  services: z.record(z.string(), z.record(z.string(), z.string().min(1))),
});
type Secrets = z.output<typeof secretsSchema>;

/** The folder of the owner's configuration that holds what belongs to one device. */
export const deviceConfigDir = (deviceId: string, ...parts: string[]): string =>
  configDir('devices', deviceId, ...parts);

const secretsFile = (deviceId: string): string => deviceConfigDir(deviceId, 'secrets.json');

/** True where this workstation holds the secrets of the device. */
export const knowsSecrets = (deviceId: string): boolean => existsSync(secretsFile(deviceId));

/**
 * The secrets of one service on one device; those that are missing are made, from the system's random source.
 * A file that cannot be read is never replaced: the passwords in it are the only ones that open the data.
 * @throws SovereignError `damaged-secrets`
 */
export async function serviceSecrets(
  deviceId: string,
  definition: Pick<ServiceDefinition, 'name' | 'secrets'>,
): Promise<Record<string, string>> {
  await makePrivateFolder(deviceId);
  return withLock(deviceConfigDir(deviceId, 'lock'), async () => {
    const all = await readSecrets(deviceId);
    const own = { ...all.services[definition.name] };
    const missing = definition.secrets.flatMap(({ name, make }) =>
      own[name] === undefined && make !== 'owner' ? [{ name, make }] : [],
    );
    if (missing.length === 0 && knowsSecrets(deviceId)) return own;
    for (const { name, make } of missing) own[name] = makers[make]();
    await writeSecrets(deviceId, { ...all, services: { ...all.services, [definition.name]: own } });
    return own;
  });
}

/** The secrets of one service that this workstation holds; undefined where it holds none. */
export async function knownSecrets(
  deviceId: string,
  service: string,
): Promise<Readonly<Record<string, string>> | undefined> {
  return (await readSecrets(deviceId)).services[service];
}

/** Takes over a service's secrets from a device that another workstation set up. What is known already stays. */
export async function adoptSecrets(
  deviceId: string,
  service: string,
  secrets: Record<string, string>,
): Promise<void> {
  await makePrivateFolder(deviceId);
  await withLock(deviceConfigDir(deviceId, 'lock'), async () => {
    const all = await readSecrets(deviceId);
    const own = { ...secrets, ...all.services[service] };
    await writeSecrets(deviceId, { ...all, services: { ...all.services, [service]: own } });
  });
}

/** Forgets a service's secrets, once its data is gone. */
export async function forgetSecrets(deviceId: string, service: string): Promise<void> {
  if (!knowsSecrets(deviceId)) return;
  await withLock(deviceConfigDir(deviceId, 'lock'), async () => {
    const kept = Object.entries((await readSecrets(deviceId)).services).filter(([name]) => name !== service);
    await writeSecrets(deviceId, { schema: 1, services: Object.fromEntries(kept) });
  });
}

const makers: Record<Exclude<ServiceDefinition['secrets'][number]['make'], 'owner'>, () => string> = {
  // 24 bytes are 32 characters: 192 bits, and nothing that a shell, SQL or an address would have to quote.
  password: () => randomBytes(24).toString('base64url'),
};

async function readSecrets(deviceId: string): Promise<Secrets> {
  const file = secretsFile(deviceId);
  if (!existsSync(file)) return { schema: 1, services: {} };
  try {
    return secretsSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    // No cause: it might quote the file.
    throw new SovereignError({
      code: 'damaged-secrets',
      what: 'the file that holds the secrets of this device cannot be read, and is left as it is',
      on: file,
      hint: 'Restore it from a backup; moving it away would make new passwords, which the data does not know',
    });
  }
}

const writeSecrets = (deviceId: string, secrets: Secrets): Promise<void> =>
  writeFileAtomic(secretsFile(deviceId), canonicalJson(secrets), 0o600);

/** Makes the folder of the owner's configuration that belongs to one device, for this user alone. */
export async function makePrivateFolder(deviceId: string): Promise<void> {
  for (const folder of [configDir(), configDir('devices'), deviceConfigDir(deviceId)]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
  await chmod(configDir(), 0o700);
  await chmod(deviceConfigDir(deviceId), 0o700);
}
