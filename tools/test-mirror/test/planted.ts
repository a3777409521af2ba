import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Device } from '@sovereign/device';
import { Planted } from '@sovereign/device/testing/planted';
import type { ServiceDefinition } from '@sovereign/service';
import type { Phone } from 'virtual-phone/testing';
import { expect, vi } from 'vitest';

/** Where a service keeps a secret for its own program to read: in memory, for that program's account alone. */
const READ: Readonly<Record<string, readonly string[]>> = {
  forgejo: ['/run/forgejo/app.ini'],
  vaultwarden: ['/run/vaultwarden/database-url'],
};

/** The values of all secrets that these services have; each has some. */
async function secretsOf(device: Device, services: readonly ServiceDefinition[]): Promise<string[]> {
  const values: string[] = [];
  for (const definition of services) {
    const known = (await device.secrets.list(definition)).filter(({ state }) => state !== 'missing');
    expect(known, definition.name).not.toEqual([]);
    for (const { name } of known) values.push(await device.secret(definition, name));
  }
  return values;
}

/** All that is told of these services to whoever asks for it. */
async function toldOf(device: Device, services: readonly ServiceDefinition[]): Promise<string> {
  const told: unknown[] = [await device.status(services), await device.inventory()];
  for (const definition of services) {
    told.push(await device.secrets.list(definition));
    const options = { boot: false, follow: false, signal: new AbortController().signal };
    for await (const line of device.logs(definition, options)) told.push(line);
  }
  return JSON.stringify(told);
}

/**
 * Secrets of services that run on a phone are on the config disks and where the services themselves read them: in no
 * other file of the phone, no argument, no environment and nothing that is told here, also while a service takes
 * another one.
 * @param secret of the service `of`, which gets a new value
 */
export async function expectSecretsInTheirPlaces(
  phone: Phone,
  device: Device,
  services: readonly ServiceDefinition[],
  of: ServiceDefinition,
  secret: string,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'sovereign-planted-'));
  const events = join(folder, 'events');
  vi.stubEnv('SOVEREIGN_EVENTS', events);
  try {
    const before = await secretsOf(device, services);
    const fresh = `planted-${randomUUID()}`;
    const planted = new Planted([...before, fresh]);
    const during = await planted.processesDuring(() => device.secrets.set(of, secret, fresh));
    for (const definition of services) await device.waitHealthy(definition, 300);
    expect(await device.secret(of, secret)).toBe(fresh);
    const told = (await toldOf(device, services)) + readFileSync(events, 'utf8');
    const proc = await phone.path('/proc');

    // Where the search does not find what is there, it would find no secret either.
    const disk = `/data/sovereign/services/${of.name}/data.img`;
    for (const there of [disk, 'PATH=/product/bin'])
      expect(new Planted([there]).processes(proc)).not.toEqual([]);
    for (const there of [secret, 'wait for', 'Mounting the data disk']) expect(told).toContain(there);

    expect([...during, ...planted.processes(), ...planted.processes(proc)]).toEqual([]);
    expect(planted.isIn(told)).toBe(false);
    // What a stand-in makes of a password on its own data disk says nothing of the real program.
    const found = planted.files(await phone.path('/data/sovereign'), (file) => file.endsWith('/data.img'));
    expect(found).toEqual(services.map(({ name }) => `services/${name}/config.img`).toSorted());
    for (const definition of services) {
      const { name } = definition;
      expect(await planted.inGuest(await device.ssh(definition)), name).toEqual(READ[name] ?? []);
    }
  } finally {
    vi.stubEnv('SOVEREIGN_EVENTS', undefined);
    rmSync(folder, { recursive: true, force: true });
  }
}
