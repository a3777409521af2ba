import {
  notDeployed,
  remoteCommand,
  sshArgs,
  type Device,
  type ServiceStatus,
  type SshTarget,
} from '@sovereign/device';
import { note, SovereignError, step } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { remindOfBackup } from './age.ts';
import { keepNode, nodePath } from './node.ts';
import { chooseTarget, openRepository, type Tools } from './repository.ts';
import { backupCommand, forget, type NewSnapshot, type Repository } from './restic.ts';
import { backupSettings, changeBackupSettings, changeServiceBackups, type Keep } from './settings.ts';
import { FORMAT } from './stream.ts';

export interface BackupOptions {
  /** Where backups of this device go, from now on. */
  to?: string | undefined;
  /** How many stay, from now on. */
  keep?: Partial<Keep> | undefined;
  signal?: AbortSignal;
  tools?: Tools;
}

export interface BackupDone extends NewSnapshot {
  repository: string;
  /** Name of its node in the tailnet that is kept beside it; null: none is logged in, or it could not be kept. */
  node: string | null;
}

/** The program of the guest that writes and reads the stream (docs/formats.md, "Backup"). */
export const GUEST_PROGRAM = '/usr/lib/sovereign/backup';

/** The one file of a service's snapshots. */
export const snapshotPath = (service: string): string => `/${service}.sovereign-backup`;

/** The device's own id: what backups are filed under, whatever the cable. */
export async function deviceIdOf(device: Device, service: string): Promise<string> {
  const { id } = await device.inventory();
  if (id !== undefined) return id;
  throw notDeployed(service, device.id);
}

/** Makes a backup of a running service, and forgets those that are too many. */
export async function backupService(
  device: Device,
  definition: ServiceDefinition,
  { to, keep, signal, tools }: BackupOptions = {},
): Promise<BackupDone> {
  const { name } = definition;
  const deviceId = await deviceIdOf(device, name);
  const { release, tailnet } = await healthy(device, definition);
  if (to !== undefined) await chooseTarget(deviceId, to, tools);
  if (keep !== undefined) {
    await changeBackupSettings(deviceId, (before) => ({ ...before, keep: { ...before.keep, ...keep } }));
  }
  const repository = await openRepository(deviceId, tools);
  const source = { deviceId, service: name, release, data: definition.data };
  const guest = await device.ssh(definition);
  const done = await store(guest, repository, source, signal);
  const node = tailnet?.state === 'running' && (await keptBeside(guest, repository, source, signal));
  await remindOfBackup(device, deviceId, name);
  await prune(repository, source, node, signal);
  return { ...done, repository: repository.name, node: node ? (tailnet.name ?? name) : null };
}

/** The backup is good whether or not its node could be kept. */
async function keptBeside(
  guest: SshTarget,
  repository: Repository,
  source: Pick<BackupOf, 'deviceId' | 'service'>,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    await keepNode(guest, repository, source, signal);
    return true;
  } catch (error) {
    if (!(error instanceof SovereignError)) throw error;
    note(`its node in the tailnet is not kept: ${error.what}`);
    return false;
  }
}

/** What a backup is of. */
interface BackupOf {
  deviceId: string;
  service: string;
  /** Id of the release that runs. */
  release: string;
  data: { kind: string; major: number };
}

/** Streams what a guest has into a new snapshot, which is the last good backup from then on. */
export async function store(
  guest: SshTarget,
  repository: Repository,
  { deviceId, service, release, data }: BackupOf,
  signal?: AbortSignal,
): Promise<NewSnapshot> {
  const snapshot = {
    device: deviceId,
    path: snapshotPath(service),
    about: { format: String(FORMAT), service, kind: data.kind, major: String(data.major), release },
  };
  const remote = remoteCommand([GUEST_PROGRAM, 'create', `device=${deviceId}`, `release=${release}`]);
  const done = await step(`back ${service} up to ${repository.name}`, async (handle) => {
    const made = await backupCommand(repository, snapshot, ['ssh', ...sshArgs(guest, remote, false)], signal);
    handle.detail(`${megabytes(made.bytes)}, ${megabytes(made.added)} of it new`);
    return made;
  });
  await changeServiceBackups(deviceId, service, {
    last: { at: new Date().toISOString(), snapshot: done.id },
  });
  return done;
}

/** The backup is good whether or not older ones could be taken away. */
async function prune(
  repository: Repository,
  { deviceId: device, service }: Pick<BackupOf, 'deviceId' | 'service'>,
  node: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { keep } = await backupSettings(device);
  try {
    await step('forget backups that are too many', async () => {
      // Of nodes the last one alone: keys of before may be used up.
      if (node) await forget(repository, { device, path: nodePath(service) }, { prune: false, signal });
      await forget(repository, { device, path: snapshotPath(service) }, { keep, signal });
    });
  } catch (error) {
    if (!(error instanceof SovereignError)) throw error;
    note(`older backups stay for now: ${error.what}`);
  }
}

async function healthy(
  device: Device,
  definition: ServiceDefinition,
): Promise<{ release: string; tailnet: ServiceStatus['tailnet'] | undefined }> {
  const [status] = await device.status([definition]);
  if (status?.healthy === true && status.release !== null && !status.trial) {
    return { release: status.release, tailnet: status.tailnet };
  }
  throw new SovereignError({
    code: 'not-healthy',
    what:
      status?.trial === true
        ? 'a release is on trial, and serves nobody yet'
        : 'only a service that runs and is healthy can be backed up',
    on: `${definition.name} on ${device.id}`,
    hint: `Start it with sovereign start ${definition.name}`,
    exit: 3,
  });
}

export const megabytes = (bytes: number): string => `${(bytes / 1_000_000).toFixed(1)} MB`;
