import { randomBytes } from 'node:crypto';
import { chmod, mkdir } from 'node:fs/promises';
import { SovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { configDir, withLock } from '@sovereign/store';
import { checkAddress } from './address.ts';
import { checkCertificate } from './certificate.ts';
import { damagedSecrets, deviceConfigDir, knowsSecrets, readSecrets, writeSecrets } from './secrets-file.ts';

export { deviceConfigDir, knowsSecrets } from './secrets-file.ts';

type Service = Pick<ServiceDefinition, 'name' | 'secrets'>;

/**
 * The secrets of one service on one device; those that are missing are made, from the system's random source.
 * A file that cannot be read is never replaced: the passwords in it are the only ones that open the data.
 * @throws SovereignError `damaged-secrets`
 */
export async function serviceSecrets(deviceId: string, definition: Service): Promise<Record<string, string>> {
  return locked(deviceId, async () => {
    const { secrets: all, copied } = await readSecrets(deviceId);
    const own = { ...all.services[definition.name] };
    const missing = definition.secrets.flatMap(({ name, make }) =>
      own[name] === undefined && make !== 'owner' ? [{ name, make }] : [],
    );
    if (missing.length === 0 && (copied || all.services[definition.name] !== undefined)) return own;
    // The damaged file may have held what its copy lacks.
    if (copied) throw damagedSecrets(deviceId);
    for (const { name, make } of missing) own[name] = makers[make]();
    await writeSecrets(deviceId, { ...all, services: { ...all.services, [definition.name]: own } });
    return own;
  });
}

/** What is known of a service's secrets, without making any. */
export async function knownSecrets(
  deviceId: string,
  service: string,
): Promise<{
  values: Record<string, string>;
  pending: Record<string, readonly string[]>;
  /** The file is damaged: this is of its copy, which may lack what was made last. */
  copied: boolean;
}> {
  const { secrets, copied } = await readSecrets(deviceId);
  return { values: secrets.services[service] ?? {}, pending: secrets.pending?.[service] ?? {}, copied };
}

/**
 * Keeps new values of a service's secrets.
 * @param guest there is one, which may have the values of before until {@link settleSecrets}
 */
export async function changeSecrets(
  deviceId: string,
  service: string,
  values: Readonly<Record<string, string>>,
  { guest }: { guest: boolean },
): Promise<void> {
  await locked(deviceId, async () => {
    const { secrets: all } = await readSecrets(deviceId);
    const before = all.services[service] ?? {};
    const changed = Object.entries(values).filter(([name, value]) => before[name] !== value);
    if (changed.length === 0) return;
    const pending = { ...all.pending?.[service] };
    for (const [name, value] of guest ? changed : []) {
      const had = [...(before[name] === undefined ? [] : [before[name]]), ...(pending[name] ?? [])];
      pending[name] = had.filter((one) => one !== value);
    }
    await writeSecrets(deviceId, {
      ...all,
      services: { ...all.services, [service]: { ...before, ...values } },
      pending: { ...all.pending, [service]: pending },
    });
  });
}

/** Forgets what the guest may have had, for every secret whose value it is known to have now. */
export async function settleSecrets(
  deviceId: string,
  service: string,
  taken: Readonly<Record<string, string>>,
): Promise<void> {
  await locked(deviceId, async () => {
    const { secrets: all } = await readSecrets(deviceId);
    const open = Object.entries(all.pending?.[service] ?? {});
    const left = open.filter(([name]) => all.services[service]?.[name] !== taken[name]);
    if (left.length === open.length) return;
    await writeSecrets(deviceId, {
      ...all,
      pending: { ...all.pending, [service]: Object.fromEntries(left) },
    });
  });
}

/** Takes over a service's secrets from a device that another workstation set up. What is known already stays. */
export async function adoptSecrets(
  deviceId: string,
  service: string,
  secrets: Record<string, string>,
): Promise<void> {
  await locked(deviceId, async () => {
    const { secrets: all } = await readSecrets(deviceId);
    const own = { ...secrets, ...all.services[service] };
    await writeSecrets(deviceId, { ...all, services: { ...all.services, [service]: own } });
  });
}

/** Forgets a service's secrets, once its data is gone. */
export async function forgetSecrets(deviceId: string, service: string): Promise<void> {
  if (!knowsSecrets(deviceId)) return;
  await locked(deviceId, async () => {
    const { secrets: all } = await readSecrets(deviceId);
    if (all.services[service] === undefined) return;
    await writeSecrets(deviceId, {
      schema: 1,
      services: without(all.services, service),
      pending: without(all.pending, service),
    });
  });
}

const without = <T>(record: Record<string, T> | undefined, key: string): Record<string, T> =>
  Object.fromEntries(Object.entries(record ?? {}).filter(([name]) => name !== key));

type Make = ServiceDefinition['secrets'][number]['make'];

const makers: Record<Exclude<Make, 'owner'>, () => string> = {
  // 24 bytes are 32 characters: 192 bits, and nothing that a shell, SQL or an address would have to quote.
  password: () => randomBytes(24).toString('base64url'),
};

/** A new value. @throws SovereignError `owners-secret` where its owner alone gives it one */
export function makeSecret(
  service: string,
  { name, make }: Pick<Service['secrets'][number], 'name' | 'make'>,
): string {
  if (make !== 'owner') return makers[make]();
  throw new SovereignError({
    code: 'owners-secret',
    what: 'this secret is never made: you give it',
    on: `${service}, ${name}`,
    hint: `sovereign secrets set ${service} ${name} reads it`,
    exit: 2,
  });
}

/**
 * The value to keep of what its owner gave.
 * @throws SovereignError `bad-secret`, `bad-certificate`, `bad-address` with exit 2, without the value
 */
export function checkSecret(
  { name, holds }: Pick<Service['secrets'][number], 'name' | 'holds'>,
  value: string,
): string {
  if (holds === 'certificate') return checkCertificate(name, value);
  if (holds === 'address') return checkAddress(name, value);
  if (/^[^\p{Cc}]{1,4096}$/u.test(value)) return value;
  throw new SovereignError({
    code: 'bad-secret',
    what: 'a secret is one line of at most 4096 characters, none of them a control character',
    on: name,
    exit: 2,
  });
}

async function locked<T>(deviceId: string, work: () => Promise<T>): Promise<T> {
  await makePrivateFolder(deviceId);
  return withLock(deviceConfigDir(deviceId, 'lock'), work);
}

/** Makes the folder of the owner's configuration that belongs to one device, for this user alone. */
export async function makePrivateFolder(deviceId: string): Promise<void> {
  for (const folder of [configDir(), configDir('devices'), deviceConfigDir(deviceId)]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
  await chmod(configDir(), 0o700);
  await chmod(deviceConfigDir(deviceId), 0o700);
}
