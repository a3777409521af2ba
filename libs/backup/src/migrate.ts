import { notDeployed, type Bundle, type DeployReport, type Device } from '@sovereign/device';
import { note, SovereignError } from '@sovereign/report';
import { releaseId, type ServiceDefinition } from '@sovereign/service';
import { remindOfBackup } from './age.ts';
import { deviceIdOf, store } from './create.ts';
import { nodeNow, putNode, type TailnetNode } from './node.ts';
import { openRepository, type Tools } from './repository.ts';
import { chooseSnapshot, fill, type Compared } from './restore.ts';

export interface MigrateOptions {
  signal?: AbortSignal;
  tools?: Tools;
}

export interface Migrated extends DeployReport, Compared {
  /** The backup that the data went through, which stays. */
  snapshot: string;
}

/**
 * Moves the data of a service to a release that keeps it in another format, through a backup in the device's repository,
 * while nobody is let in. Its node in the tailnet comes along where it is logged in. Before anything is stopped it is
 * known that backups of this device have a place.
 * @throws SovereignError `no-repository-chosen`, or where anything is wrong: release and data are as they were then
 */
export async function migrateService(
  device: Device,
  bundle: Bundle,
  { signal, tools }: MigrateOptions = {},
): Promise<Migrated> {
  const { definition } = bundle;
  const { name } = definition;
  const deviceId = await deviceIdOf(device, name);
  const repository = await openRepository(deviceId, tools);
  const [now] = await device.releases(definition);
  if (now === undefined) throw notDeployed(name, device.id);
  const node = await nodeAlong(device, definition, deviceId, signal);
  let snapshot = '';
  let compared: Compared = { tables: 0, rows: 0 };
  const report = await device.migrate(bundle, {
    drain: async (guest) => {
      const source = { deviceId, service: name, release: releaseId(now), data: now.data };
      snapshot = (await store(guest, repository, source, signal)).id;
    },
    fill: async (guest) => {
      const made = await chooseSnapshot(repository, definition, deviceId, snapshot);
      compared = await fill(guest, name, repository, made, signal);
      if (node !== undefined) await putNode(guest, node, signal);
    },
  });
  await remindOfBackup(device, deviceId, name);
  return { ...report, snapshot, ...compared };
}

/** The data moves whether or not the node can: the release of before may be one that gives none. */
async function nodeAlong(
  device: Device,
  definition: ServiceDefinition,
  deviceId: string,
  signal: AbortSignal | undefined,
): Promise<TailnetNode | undefined> {
  if ((await device.tailnet.settings()) === undefined) return undefined;
  try {
    return await nodeNow(device, definition, deviceId, signal);
  } catch (error) {
    if (!(error instanceof SovereignError)) throw error;
    note(`its node in the tailnet does not come along: ${error.what}`);
    return undefined;
  }
}
