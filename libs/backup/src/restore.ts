import { execInGuest, nodeMoved, type Device, type SshTarget } from '@sovereign/device';
import { SovereignError, step } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { deviceIdOf, GUEST_PROGRAM, snapshotPath } from './create.ts';
import { nodeFor, putNode, type TailnetNode } from './node.ts';
import { openRepository, withRepository, type Tools } from './repository.ts';
import { dumpSnapshot, listSnapshots, type Repository, type Snapshot } from './restic.ts';
import { BackupReader, differences, FORMAT, newer, parseCounts } from './stream.ts';

/** Differences that an error names. */
const NAMED = 5;

/** Which backups are meant. */
export interface Source {
  /** Id of the device that they are of, where it is another one. */
  of?: string | undefined;
  /** Where they are, where that is not the repository of that device. */
  repository?: string | undefined;
  tools?: Tools;
}

export interface SnapshotOptions extends Source {
  /** Id of a snapshot, which may be shortened; the newest one where it is missing. */
  snapshot?: string | undefined;
  signal?: AbortSignal;
}

export interface RestoreOptions extends SnapshotOptions {
  /** The node in the tailnet that comes along. */
  node?: TailnetNode | undefined;
}

/** What was compared: tables, and the rows in them. */
export interface Compared {
  tables: number;
  rows: number;
}

export interface Restored extends Compared {
  snapshot: string;
  /** ISO 8601. */
  time: string;
}

/** Opens the repository that a source means. */
export async function withSource<T>(
  deviceId: string,
  { of: other, repository, tools = {} }: Source,
  work: (repository: Repository) => Promise<T>,
): Promise<T> {
  if (repository !== undefined) return withRepository(repository, tools, work);
  return work(await openRepository(other ?? deviceId, tools));
}

/** The backups of a service, the newest last. */
export async function listBackups(
  device: Device,
  { name }: ServiceDefinition,
  source: Source = {},
): Promise<Snapshot[]> {
  const deviceId = await deviceIdOf(device, name);
  return withSource(deviceId, source, (repository) =>
    listSnapshots(repository, { device: source.of ?? deviceId, path: snapshotPath(name) }),
  );
}

/**
 * The node that comes along when a backup is restored. Changes nothing.
 * @param others devices that may run the same node
 * @throws SovereignError as {@link nodeFor}, and where there is no such backup
 */
export async function nodeToRestore(
  device: Device,
  definition: ServiceDefinition,
  others: readonly Device[],
  options: SnapshotOptions = {},
): Promise<TailnetNode> {
  const deviceId = await deviceIdOf(device, definition.name);
  return withSource(deviceId, options, async (repository) => {
    const snapshot = await chooseSnapshot(repository, definition, options.of ?? deviceId, options.snapshot);
    return nodeFor(device, deviceId, definition, repository, snapshot, { others, signal: options.signal });
  });
}

/**
 * Replaces the data of a service by a backup; the disk from before is kept.
 * @throws SovereignError where anything is wrong: the data from before is in its place then
 */
export async function restoreService(
  device: Device,
  definition: ServiceDefinition,
  options: RestoreOptions = {},
): Promise<Restored> {
  const deviceId = await deviceIdOf(device, definition.name);
  return withSource(deviceId, options, async (repository) => {
    const snapshot = await chooseSnapshot(repository, definition, options.of ?? deviceId, options.snapshot);
    const { node, signal } = options;
    const restored = await pour(device, definition, repository, snapshot, { keep: true, node, signal });
    if (node !== undefined) await nodeMoved(deviceId, definition.name, node);
    return restored;
  });
}

/** Restores a snapshot on a new disk of the service; with `keep: false` only to see whether it can be. */
export async function pour(
  device: Device,
  definition: ServiceDefinition,
  repository: Repository,
  snapshot: Snapshot,
  {
    keep,
    node,
    signal,
  }: { keep: boolean } & Pick<RestoreOptions, 'node'> & { signal?: AbortSignal | undefined },
): Promise<Restored> {
  let compared: Compared = { tables: 0, rows: 0 };
  await device.restore(
    definition,
    async (guest) => {
      compared = await fill(guest, definition.name, repository, snapshot, signal);
      if (node !== undefined) await putNode(guest, node, signal);
    },
    { keep },
  );
  return { snapshot: snapshot.id, time: snapshot.time, ...compared };
}

/**
 * The snapshot that is meant, if this service can take it.
 * @throws SovereignError `no-such-backup`, `other-service`, `newer-backup`
 */
export async function chooseSnapshot(
  repository: Repository,
  { name, data }: ServiceDefinition,
  device: string,
  wanted: string | undefined,
): Promise<Snapshot> {
  const fitting = { device, path: snapshotPath(name) };
  // One that is named may be of any device.
  const all = await listSnapshots(repository, wanted === undefined ? fitting : {});
  const snapshot = wanted === undefined ? all.at(-1) : all.find(({ id }) => id.startsWith(wanted));
  if (snapshot === undefined) {
    throw new SovereignError({
      code: 'no-such-backup',
      what: wanted === undefined ? `there is no backup of ${name} of this device` : 'there is no such backup',
      on: wanted ?? repository.name,
      hint:
        wanted === undefined
          ? `Make one with sovereign backup ${name}, or say with --of whose backups are meant`
          : `sovereign backup list ${name} shows them`,
      exit: wanted === undefined ? 1 : 2,
    });
  }
  const { about, id } = snapshot;
  const short = id.slice(0, 8);
  if (snapshot.path !== fitting.path || about.kind !== data.kind) {
    throw new SovereignError({
      code: 'other-service',
      what: `this is a backup of ${about.service ?? snapshot.path}, not of ${name}`,
      on: short,
      hint: `sovereign backup list ${name} shows those of ${name}`,
      exit: 2,
    });
  }
  if (Number(about.format) > FORMAT)
    throw newer(`it has format ${about.format}, this release reads ${FORMAT}`, short);
  if (Number(about.major) > data.major) {
    throw newer(`it holds ${data.kind} ${about.major}, this release has ${data.major}`, short);
  }
  return snapshot;
}

/** Brings a snapshot into a guest without data, and compares what is there then with what was counted. */
export async function fill(
  guest: SshTarget,
  service: string,
  repository: Repository,
  snapshot: Snapshot,
  signal: AbortSignal | undefined,
): Promise<Compared> {
  const short = snapshot.id.slice(0, 8);
  const reader = new BackupReader(short);
  await step(`restore ${service} from backup ${short}`, async (handle) => {
    const { stream, whole } = dumpSnapshot(repository, snapshot, signal);
    let wrong: Error | undefined;
    reader.on('error', (error) => (wrong = error));
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => handle.progress((bytes += chunk.length), snapshot.bytes, 'bytes'));
    const said = await execInGuest(guest, [GUEST_PROGRAM, 'restore'], {
      input: stream.pipe(reader),
      ...(signal === undefined ? {} : { signal }),
    }).finally(() => stream.destroy());
    signal?.throwIfAborted();
    if (wrong !== undefined || said.status !== 0) {
      // What restic cannot read is a cut for everybody behind it.
      if (wrong instanceof SovereignError && wrong.code === 'cut-backup') await whole;
      throw wrong ?? notTaken(short, said.stderr);
    }
    await whole;
  });
  return step(`compare ${service} with the backup`, async (handle) => {
    const { stdout, stderr, status } = await execInGuest(guest, [GUEST_PROGRAM, 'count']);
    if (status !== 0) throw notTaken(short, stderr);
    const found = parseCounts(stdout);
    const differing = differences(reader.counts, found);
    if (differing.length > 0) throw notTheSame(short, differing);
    handle.detail(`${found.size} tables`);
    return { tables: found.size, rows: [...found.values()].reduce((sum, count) => sum + count, 0) };
  });
}

function notTaken(backup: string, said: string): SovereignError {
  const lines = said.trim().split('\n');
  const ours = lines.findLast((line) => line.startsWith('sovereign: '))?.slice('sovereign: '.length);
  const cause = lines.find((line) => /\b(ERROR|FATAL):/.test(line));
  return new SovereignError({
    code: 'not-restored',
    what: `the service did not take the backup: ${[ours, cause].filter(Boolean).join('; ') || 'it does not say why'}`,
    on: backup,
    hint: 'The data from before is in its place. Choose another backup with --snapshot',
  });
}

const notTheSame = (backup: string, differing: readonly string[]): SovereignError =>
  new SovereignError({
    code: 'counts-differ',
    what: `what was restored is not what was backed up: ${differing.slice(0, NAMED).join('; ')}${differing.length > NAMED ? `; and ${differing.length - NAMED} more` : ''}`,
    on: backup,
    hint: 'The data from before is in its place. Choose another backup with --snapshot',
  });
