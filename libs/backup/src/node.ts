import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  execInGuest,
  remoteCommand,
  sameServer,
  sshArgs,
  wantsTailnet,
  type Device,
  type SshTarget,
} from '@sovereign/device';
import { SovereignError, step } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { backupCommand, dumpSnapshot, listSnapshots, type Repository, type Snapshot } from './restic.ts';
import { BackupReader, FORMAT } from './stream.ts';

/** The program of the guest that writes and reads the identity of its node (docs/formats.md, "Backup"). */
const NODE_PROGRAM = '/usr/lib/sovereign/tailnet-node';
/** Most bytes of an identity: some keys and names. */
const LARGEST = 1_000_000;

/** The one file of the snapshots of a service's node, which are kept apart from those of its data. */
export const nodePath = (service: string): string => `/${service}.sovereign-tailnet`;

/** The identity of a node. It is a secret: it stays in memory. */
export interface TailnetNode {
  /** Read from the service as it is now, or out of the repository. */
  from: 'device' | 'backup';
  /** Id of the device that it was on. */
  device: string;
  /** With its control server. */
  id: string;
  name: string;
  /** Address of its control server; undefined: Tailscale's own. */
  server: string | undefined;
  stream: Buffer;
}

/** Keeps the identity of a node that is logged in, beside the backups of its service. */
export async function keepNode(
  guest: SshTarget,
  repository: Repository,
  { deviceId, service }: { deviceId: string; service: string },
  signal?: AbortSignal,
): Promise<void> {
  const about = { format: String(FORMAT), kind: 'tailnet' };
  const command = ['ssh', ...sshArgs(guest, remoteCommand([NODE_PROGRAM, 'create']), false)];
  await step(`keep the node of ${service} beside it`, () =>
    backupCommand(repository, { device: deviceId, path: nodePath(service), about }, command, signal),
  );
}

/**
 * The node that comes along when this snapshot is restored: that of the service as it is now, where the backup is of this
 * device and the node is logged in, else the one that was kept last beside the backups. Changes nothing.
 * @param others devices that may run the same node
 * @throws SovereignError `tailnet-off`, `no-node-kept`, `other-control-server`, `node-in-use`, all with exit 2
 */
export async function nodeFor(
  device: Device,
  deviceId: string,
  definition: ServiceDefinition,
  repository: Repository,
  snapshot: Pick<Snapshot, 'device'>,
  { others = [], signal }: { others?: readonly Device[] | undefined; signal?: AbortSignal | undefined } = {},
): Promise<TailnetNode> {
  const { name } = definition;
  const settings = wantsTailnet(definition) ? await device.tailnet.settings() : undefined;
  if (settings === undefined) {
    throw new SovereignError({
      code: 'tailnet-off',
      what: 'no node can come along: the service is in no tailnet on this device',
      on: `${name} on ${device.id}`,
      hint: `Switch it on first, with the control server that the node is of: sovereign up ${name} --tailnet`,
      exit: 2,
    });
  }
  const own = snapshot.device === deviceId ? await nodeNow(device, definition, deviceId, signal) : undefined;
  const node = own ?? (await keptNode(repository, name, snapshot.device, signal));
  if (!sameServer(node.server, settings.server)) {
    throw new SovereignError({
      code: 'other-control-server',
      what: `the node is of ${node.server ?? 'Tailscale’s own control server'}, this device uses ${settings.server ?? 'Tailscale’s own'}`,
      on: node.name,
      hint: `Restore without its node, then run sovereign tailnet login ${name}`,
      exit: 2,
    });
  }
  for (const other of others) await requireUnused(node, definition, other, deviceId);
  return node;
}

/**
 * That of the service as it is now; undefined where it is not logged in, or tells nothing.
 * @throws SovereignError `node-not-read`, and as {@link BackupReader}
 */
export async function nodeNow(
  device: Device,
  definition: ServiceDefinition,
  deviceId: string,
  signal: AbortSignal | undefined,
): Promise<TailnetNode | undefined> {
  const [status] = await device.status([definition]);
  if (status?.tailnet?.state !== 'running') return undefined;
  const on = `${definition.name} on ${device.id}`;
  const said = await execInGuest(await device.ssh(definition), [NODE_PROGRAM, 'create'], {
    ...(signal === undefined ? {} : { signal }),
  });
  if (said.status !== 0) {
    throw new SovereignError({
      code: 'node-not-read',
      what: `the guest did not give its node: ${reason(said.stderr)}`,
      on,
      hint: 'Deploy a release of today first, or restore without its node',
    });
  }
  return { from: 'device', device: deviceId, ...(await read(Readable.from([Buffer.from(said.stdout)]), on)) };
}

/** The one that was kept last: keys of before may be used up. */
async function keptNode(
  repository: Repository,
  service: string,
  device: string,
  signal: AbortSignal | undefined,
): Promise<TailnetNode> {
  const snapshot = (await listSnapshots(repository, { device, path: nodePath(service) })).at(-1);
  if (snapshot === undefined) {
    throw new SovereignError({
      code: 'no-node-kept',
      what: `no node of ${service} is kept beside the backups of this device`,
      on: repository.name,
      hint: `A backup keeps the node that is logged in. Restore without it, then run sovereign tailnet login ${service}`,
      exit: 2,
    });
  }
  const { stream, whole } = dumpSnapshot(repository, snapshot, signal);
  try {
    return { from: 'backup', device, ...(await read(stream, snapshot.id.slice(0, 8))) };
  } catch (error) {
    // What restic cannot read is a cut for everybody behind it.
    if (error instanceof SovereignError && error.code === 'cut-backup') await whole;
    throw error;
  } finally {
    stream.destroy();
  }
}

/** All of a stream, which has to be whole. @throws SovereignError as {@link BackupReader}, `damaged-backup` */
async function read(
  source: Readable,
  on: string,
): Promise<Pick<TailnetNode, 'id' | 'name' | 'server' | 'stream'>> {
  const reader = new BackupReader(on);
  const chunks: Buffer[] = [];
  let length = 0;
  await pipeline(source, reader, async (passed: AsyncIterable<Buffer>) => {
    for await (const chunk of passed) {
      length += chunk.length;
      if (length > LARGEST) throw noNode(on);
      chunks.push(chunk);
    }
  });
  const { kind, node: id, name, server } = reader.about;
  if (kind !== 'tailnet' || id === undefined || name === undefined) throw noNode(on);
  return { id, name, server, stream: Buffer.concat(chunks) };
}

const noNode = (on: string): SovereignError =>
  new SovereignError({
    code: 'damaged-backup',
    what: 'what is kept is no node of a tailnet',
    on,
    hint: 'Restore without it, then log the service in',
  });

/** As far as another device tells. @throws SovereignError `node-in-use` */
async function requireUnused(
  node: TailnetNode,
  definition: ServiceDefinition,
  other: Device,
  deviceId: string,
): Promise<void> {
  // A device that cannot be asked now can tell nothing.
  const inventory = await other.inventory().catch(() => undefined);
  if (inventory?.id === undefined || inventory.id === deviceId) return;
  if (!inventory.services.includes(definition.name)) return;
  const [status] = await other.status([definition]);
  if (status === undefined || ['stopped', 'failed'].includes(status.state)) return;
  const told = status.tailnet?.id;
  if (told === undefined ? inventory.id !== node.device : told !== node.id) return;
  // Control servers number for themselves.
  const settings = await other.tailnet.settings();
  if (settings !== undefined && !sameServer(settings.server, node.server)) return;
  const { name } = definition;
  throw new SovereignError({
    code: 'node-in-use',
    what: 'the node runs on another device, and two machines with one identity fight',
    on: `${node.name} on ${other.id}`,
    hint: `Stop it there for good: sovereign stop ${name} -s ${other.id}`,
    exit: 2,
  });
}

/** Puts the node on the new disk of a guest that is not open yet: the first daemon there finds it. */
export async function putNode(
  guest: SshTarget,
  { name, stream }: TailnetNode,
  signal: AbortSignal | undefined,
): Promise<void> {
  await step(`put the node ${name} in place`, async () => {
    const said = await execInGuest(guest, [NODE_PROGRAM, 'restore'], {
      input: stream,
      ...(signal === undefined ? {} : { signal }),
    });
    if (said.status === 0) return;
    throw new SovereignError({
      code: 'node-not-restored',
      what: `the guest did not take the node: ${reason(said.stderr)}`,
      on: name,
      hint: 'The data from before is in its place. Deploy a release of today first, or restore without its node',
    });
  });
}

function reason(said: string): string {
  const lines = said.trim().split('\n');
  const ours = lines.findLast((line) => line.startsWith('sovereign: '))?.slice('sovereign: '.length);
  return ours ?? lines.at(-1) ?? 'it does not say why';
}
