import { needsOf, settingValues, type ServiceDefinition } from '@sovereign/service';
import { configPath, databaseFiles, editConfigDisk, isDatabase, readConfigDisk } from './config-disk.ts';
import type { Bundle } from './contract.ts';
import { deviceSettings } from './device-settings.ts';
import type { Host } from './host.ts';
import { serviceSecrets } from './secrets.ts';

/**
 * The databases that services of this device have on one of them, with the password of each: of those that are
 * deployed, as their owner's settings are now.
 */
export async function databasesOn(
  host: Host,
  deviceId: string,
  provider: string,
  others: Bundle['neighbours'],
): Promise<Record<string, string>> {
  const { services } = await deviceSettings(deviceId);
  const found: Record<string, string> = {};
  for (const { definition } of others) {
    const values = settingValues(definition, services[definition.name]);
    for (const { service, database } of needsOf(definition, values)) {
      if (service !== provider || database === undefined || !(await isDeployed(host, definition.name)))
        continue;
      const password = (await serviceSecrets(deviceId, definition))[database.secret];
      if (password !== undefined) found[database.name] = password;
    }
  }
  return found;
}

/**
 * Brings the config disks of the services that this one may have a database on in line with its settings.
 * @returns the services whose guest has to start anew to know of it
 */
export async function refreshProviders(
  host: Host,
  deviceId: string,
  definition: ServiceDefinition,
  neighbours: Bundle['neighbours'],
): Promise<string[]> {
  const changed: string[] = [];
  for (const provider of new Set(definition.needs.map(({ service }) => service))) {
    const path = configPath(provider);
    const before = (await isDeployed(host, provider)) ? await host.read(path) : undefined;
    if (before === undefined) continue;
    const others = [...neighbours, { name: definition.name, address: '', definition }];
    const wanted = databaseFiles(await databasesOn(host, deviceId, provider, others));
    const had = await readConfigDisk(before);
    const after = await editConfigDisk(before, provider, (files) => {
      for (const name of [...files.keys()].filter(isDatabase)) files.delete(name);
      for (const [name, text] of wanted) files.set(name, text);
    });
    if (!after.equals(before)) await host.write(path, after, 0o600);
    if (wanted.some(([name, text]) => had.get(name) !== text)) changed.push(provider);
  }
  return changed;
}

/**
 * Brings the passwords that a service has for its databases to the config disks of those that it has them on.
 * @returns the disks that carry one, by service
 */
export async function refreshOwnDatabases(
  host: Host,
  deviceId: string,
  definition: ServiceDefinition,
): Promise<Map<string, Buffer>> {
  const disks = new Map<string, Buffer>();
  const { services } = await deviceSettings(deviceId);
  const secrets = await serviceSecrets(deviceId, definition);
  for (const { service, database } of needsOf(
    definition,
    settingValues(definition, services[definition.name]),
  )) {
    const password = database === undefined ? undefined : secrets[database.secret];
    const path = configPath(service);
    const before = await host.read(path);
    if (database === undefined || password === undefined || before === undefined) continue;
    const own = databaseFiles({ [database.name]: password });
    const after = await editConfigDisk(before, service, (files) => {
      // Only what it has there already: the rest is a deploy's.
      for (const [name, text] of own) if (files.has(name)) files.set(name, text);
    });
    if (!after.equals(before)) await host.write(path, after, 0o600);
    disks.set(service, after);
  }
  return disks;
}

const isDeployed = async (host: Host, service: string): Promise<boolean> =>
  (await host.list(`services/${service}`)).includes('config.img');
