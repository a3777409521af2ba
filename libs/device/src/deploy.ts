import { note, SovereignError, step } from '@sovereign/report';
import { releaseId, settingValues, type Release, type ServiceDefinition } from '@sovereign/service';
import { sha256 } from '@sovereign/store';
import { installAgent, lastLine, runAgent } from './agent.ts';
import { putArtifacts, pruneStore, storePath, type Artifact } from './artifacts.ts';
import { kernelCommandLine } from './cmdline.ts';
import { asksForStart, configDisk, configPath } from './config-disk.ts';
import type { Bundle, DeployOptions, DeployReport } from './contract.ts';
import { databasesOn, refreshProviders } from './databases.ts';
import { ensureDataDisk } from './data-disk.ts';
import { deliveredSecrets } from './delivered.ts';
import { deviceConf, networkInConf } from './device-conf.ts';
import { askDevice, type AgentStatus } from './device-report.ts';
import { deviceSettings, rememberDevice, timeServersOf } from './device-settings.ts';
import type { Host, Machine } from './host.ts';
import { ensureIdentity, readIdentity } from './identity.ts';
import { GVPROXY_CONFIG, gvproxyConfig } from './network/gvproxy.ts';
import { NOTIFY_SETTINGS } from './notify.ts';
import { guestInterfaces, machineNetwork, type NetworkMode, type NetworkPlan } from './network/guest.ts';
import { slotFiles, type SlotFiles } from './plan.ts';
import { allocateDataDisk, lacking, provisioning, spaceFor } from './provisioning.ts';
import { dataKept, keptDisk } from './restore-disk.ts';
import { assignCid, assignGroup, assignPorts, SSH, type ServicePorts } from './ports.ts';
import { knownSecrets, knowsSecrets, deviceConfigDir, serviceSecrets } from './secrets.ts';
import { damagedSecrets } from './secrets-file.ts';
import {
  clearTrial,
  otherSlot,
  readSlots,
  refreshSlot,
  requireSameData,
  setCurrent,
  setTrial,
  writeSlot,
  type Slot,
  type Slots,
} from './slots.ts';
import { hostKey, knowsHostKey, ownerKey } from './ssh-keys.ts';
import { changeTailnet, type TailnetChange } from './tailnet/change.ts';
import { guestTailnet, wantsTailnet } from './tailnet/guest.ts';
import { isOn } from './tailnet/settings.ts';
import { settledTailnet, toldNodes } from './tailnet/settled.ts';
import { applyTailnet, recordNodes } from './tailnet/store.ts';
import { copyForTrial } from './trial-data.ts';
import { MIB } from './units.ts';
import { writeIfChanged } from './write-if-changed.ts';

/**
 * Puts a release on the device. The steps are ordered so that it can be cut off after any of them: what the last good
 * release needs stays, and what counts as the new one (`current`, `trial`) is written last.
 */
export async function deploy(
  host: Host,
  { definition, release, files, neighbours }: Bundle,
  options: DeployOptions = {},
  {
    /** The data goes to a release that keeps it in another format: that waits in its slot, and is not tried by itself. */
    migrates = false,
  } = {},
): Promise<DeployReport & { deviceId: string }> {
  const { name } = definition;
  requireFit(await readSlots(host, name), release, migrates);
  const known = await readIdentity(host);
  if (host.kind === 'adb' && options.consent !== true && known === undefined) throw notConsented(host);
  if (options.tailnet !== undefined) changeTailnet(await settledTailnet(host, known?.id), options.tailnet);
  await host.prepare();
  // Once more: a device without a folder had no lock, and somebody else may have been faster.
  const before = await readSlots(host, name);
  requireFit(before, release, migrates);
  await requireSlot(host, name, before, releaseId(release));
  const identity = await ensureIdentity(host);
  await requireSecrets(host, identity.id, definition);
  const { agent, disks } = await askDevice(host);
  const moves = await newNetwork(host, definition, agent, options.network);
  if (host.kind === 'adb') {
    await rememberDevice(identity.id, { serial: host.id, network: options.network, dns: options.dns });
  }
  const network = await host.network();
  const { mode } = network;
  await keepTailnet(host, identity.id, definition, agent, options.tailnet);

  // What this device cannot run is refused before the first byte.
  const running = agent.get(name)?.pid !== undefined;
  const ports = await assignPorts(host, definition, running);
  const plan = await planFor(host, { definition, release }, ports, mode);
  // It sends messages, too. Asked last: on a phone it is a round trip.
  const sends = async () => release.network !== undefined && (await host.read(NOTIFY_SETTINGS)) !== undefined;
  const program = mode === 'vsock' || (await sends()) ? await gvproxy(host, release, files) : undefined;

  const firstTime = !(await host.list(`services/${name}`)).includes('data.img');
  const disk = disks.get(name);
  const how = await provisioning(host, definition);
  const newData = spaceFor(how, definition.data.size * MIB, disk?.taken);
  const bytesSent = await putArtifacts(
    host,
    [
      { name: 'kernel', sha256: release.kernel.sha256, file: files.kernel },
      { name: 'root filesystem', sha256: release.root.sha256, file: files.root },
      { name: 'launcher', sha256: release.agent.sha256, file: files.agent },
      ...(program === undefined ? [] : [program]),
    ],
    firstTime || migrates
      ? newData
      : lacking(how, disk) + copyForTrial(host, definition, before, release, disk),
  );
  await installAgent(host, release.agent.sha256);

  const dataUuid = await ensureDataDisk(host, definition, how);
  await allocateDataDisk(host, definition, how, disk);
  const anew = await writeConfigDisk(host, identity.id, definition, dataUuid, neighbours, network);
  const providers = await refreshProviders(host, identity.id, definition, neighbours);
  if (moves) await moveSlots(host, definition, before, ports, mode);
  await writeIfChanged(
    host,
    'device.conf',
    deviceConf({ ...(await host.settings()), kind: host.kind, network: mode, gvproxy: program?.sha256 }),
  );
  if (mode === 'vsock') await writeIfChanged(host, GVPROXY_CONFIG, gvproxyConfig());
  const platform = await host.platform();
  if (platform !== undefined) {
    await writeIfChanged(host, 'platform.sh', platform.script);
    await writeIfChanged(host, 'platform', `${platform.line}\n`);
  }
  const { slot, changed } = await place(host, name, before, releaseId(release), plan, migrates);
  // A trial that fails goes back to a release that has the config disk of today too, and needs the machine that fits.
  const other = otherSlot(slot);
  const last = before.releases[other];
  if (changed && last !== undefined)
    await refreshSlot(host, name, other, await planFor(host, { definition, release: last }, ports, mode));
  if (changed) await pruneStore(host);
  for (const provider of providers) await startAnew(host, agent, provider, `what ${name} has there`);
  if (anew || moves) {
    const why = moves ? `the network ${mode}` : 'its settings';
    // What the machine gave back while it still ran as a thin one.
    const again = () => host.growDisk(`services/${name}/data.img`, disk?.size ?? 0, how.allocated);
    await startAnew(host, agent, name, why, lacking(how, disk) > 0 ? again : undefined);
  }
  return {
    release: releaseId(release),
    slot,
    changed: changed || bytesSent > 0,
    bytesSent,
    deviceId: identity.id,
  };
}

function requireFit({ current, releases }: Slots, release: Release, migrates: boolean): void {
  const now = current === undefined ? undefined : releases[current];
  const hint = `sovereign upgrade ${release.service} moves the data, through a backup`;
  if (now !== undefined && !migrates) requireSameData(now, release, hint);
}

/** The slot that another release would take is not that of a disk which was kept. */
async function requireSlot(
  host: Host,
  service: string,
  { current, releases }: Slots,
  release: string,
): Promise<void> {
  const kept = await keptDisk(host, service);
  if (current === undefined || kept?.slot !== otherSlot(current)) return;
  const now = releases[current];
  if (now !== undefined && releaseId(now) === release) return;
  throw dataKept(host, service, 'the release that can read it would be replaced');
}

/**
 * Whether this deploy gives the device another network. The service that is deployed is started anew for it; what others
 * that run have would end at once, and their config disks name the network of before.
 * @throws SovereignError `network-in-use`
 */
async function newNetwork(
  host: Host,
  { name }: ServiceDefinition,
  agent: ReadonlyMap<string, AgentStatus>,
  wanted: 'vsock' | 'tap' | undefined,
): Promise<boolean> {
  const conf = (await host.read('device.conf'))?.toString() ?? '';
  const before = networkInConf(conf);
  const mode = host.kind === 'adb' && wanted !== undefined ? wanted : await host.networkMode();
  if (before === undefined || before === mode) return false;
  const others = [...agent.keys()].filter(
    (other) => other !== name && other !== '-' && agent.get(other)?.pid !== undefined,
  );
  if (others.length > 0) {
    throw new SovereignError({
      code: 'network-in-use',
      what: `the network would change from ${before} to ${mode}, and ${others.join(', ')} would lose it at once`,
      on: host.id,
      hint: `Run sovereign stop ${others.join(' ')} first and deploy what is stopped again afterwards, or stay with --network ${before}`,
    });
  }
  note(
    `the network of ${host.id} is ${mode} from now on: other services of before have to be deployed again`,
  );
  return true;
}

/** Slots share the config disk: where the network changes, the one to go back to must not be left with the old one. */
async function moveSlots(
  host: Host,
  definition: ServiceDefinition,
  { releases }: Slots,
  ports: ServicePorts,
  mode: NetworkMode,
): Promise<void> {
  for (const slot of ['a', 'b'] as const) {
    const release = releases[slot];
    if (release === undefined) continue;
    const plan = await planFor(host, { definition, release }, ports, mode);
    await refreshSlot(host, definition.name, slot, plan);
  }
}

async function gvproxy(host: Host, { network }: Release, files: Bundle['files']): Promise<Artifact> {
  const arch = await host.arch();
  const blob = network?.gvproxy[arch];
  if (blob !== undefined) return { name: 'network program', sha256: blob.sha256, file: files.gvproxy[arch] };
  throw new SovereignError({
    code: 'old-release',
    what: 'this release was made before guests had a network of their own',
    on: host.id,
    hint: 'Build it again',
  });
}

export const notConsented = (host: Host): SovereignError =>
  new SovereignError({
    code: 'not-prepared',
    what: 'this phone was never used, and is not changed without a yes',
    on: host.id,
    hint: `Run sovereign up -s ${host.id} on a terminal, or add --yes`,
    exit: 2,
  });

/** The files of a slot for this release on this device, with these ports. */
export async function planFor(
  host: Host,
  { definition, release }: Pick<Bundle, 'definition' | 'release'>,
  ports: ServicePorts,
  mode: NetworkMode,
): Promise<SlotFiles> {
  const stored = (sha256: string): string => `${host.root}/${storePath(sha256)}`;
  const folder = `${host.root}/services/${definition.name}`;
  const forwards = [...definition.ports, { name: SSH, guest: 22 }].flatMap(({ name, guest }) => {
    const port = ports[name];
    return port === undefined ? [] : [{ host: port, guest }];
  });
  const cid = mode === 'vsock' ? await assignCid(host, definition) : 0;
  const group = mode === 'user' ? await assignGroup(host) : '';
  const network = machineNetwork(mode, definition, forwards, { cid, group });
  const machine: Machine = {
    name: definition.name,
    kernel: stored(release.kernel.sha256),
    cmdline: kernelCommandLine(),
    root: stored(release.root.sha256),
    data: `${folder}/data.img`,
    discard: (await provisioning(host, definition)).discard,
    config: `${folder}/config.img`,
    memory: release.resources.memory,
    cpus: release.resources.cpus,
    consoleLog: `${folder}/log/console.log`,
    earlyLog: `${folder}/log/early.log`,
    control: { output: `${folder}/agent.out`, input: `${folder}/agent.in` },
    network,
  };
  return slotFiles({
    definition,
    release,
    command: await host.command(machine),
    network,
    forwards,
    stored,
  });
}

/** Longest clean stop of a service that starts anew, in seconds, and what both together may take, in milliseconds. */
const STOP = 60;
const ANEW_TIMEOUT = 150_000;

/** A guest reads its config disk when it starts: one that runs comes to know of another only so. */
async function startAnew(
  host: Host,
  agent: ReadonlyMap<string, AgentStatus>,
  service: string,
  why: string,
  /** What is done while it does not run. */
  between?: () => Promise<void>,
): Promise<void> {
  if (agent.get(service)?.pid === undefined) return;
  await step(`start ${service} anew, for ${why}`, async () => {
    for (const [verb, ...words] of [['stop', String(STOP)], ['start']] as const) {
      if (verb === 'start') await between?.();
      const { status, stderr } = await runAgent(host, verb, [service, ...words], ANEW_TIMEOUT);
      if (status === 0) continue;
      throw new SovereignError({
        code: `${verb}-failed`,
        what: lastLine(stderr) || `the launcher did not ${verb} the service`,
        on: `${service} on ${host.id}`,
        hint: `Run sovereign restart ${service}; sovereign logs ${service} tells more`,
      });
    }
  });
}

/** Decides which slot the release belongs in; repeating it changes nothing. */
async function place(
  host: Host,
  service: string,
  { current, trial, releases }: Slots,
  id: string,
  plan: SlotFiles,
  waits: boolean,
): Promise<{ slot: Slot; changed: boolean }> {
  const holds = (slot: Slot): boolean => {
    const release = releases[slot];
    return release !== undefined && releaseId(release) === id;
  };
  if (current === undefined || releases[current] === undefined) {
    const slot = current ?? 'a';
    await writeSlot(host, service, slot, plan);
    await setCurrent(host, service, slot);
    return { slot, changed: true };
  }
  if (holds(current)) {
    const refreshed = await refreshSlot(host, service, current, plan);
    if (trial !== undefined) await clearTrial(host, service);
    return { slot: current, changed: refreshed || trial !== undefined };
  }
  const slot = otherSlot(current);
  if (trial === slot && holds(slot)) return { slot, changed: await refreshSlot(host, service, slot, plan) };
  await clearTrial(host, service);
  await writeSlot(host, service, slot, plan);
  if (!waits) await setTrial(host, service, slot);
  return { slot, changed: true };
}

/** Keeps what the owner says of the tailnet now, and which nodes need no auth key any more. */
async function keepTailnet(
  host: Host,
  deviceId: string,
  definition: ServiceDefinition,
  agent: ReadonlyMap<string, AgentStatus>,
  change: TailnetChange | undefined,
): Promise<void> {
  if (change !== undefined) await applyTailnet(deviceId, change, () => host.name());
  const { tailnet } = await deviceSettings(deviceId);
  if (!isOn(tailnet)) return;
  const services = [
    ...Object.keys(tailnet.nodes ?? {}),
    ...(wantsTailnet(definition) ? [definition.name] : []),
  ];
  await recordNodes(deviceId, toldNodes(agent, services), { fresh: change?.key !== undefined });
}

/** @returns whether the guest that runs has to start anew for it */
async function writeConfigDisk(
  host: Host,
  deviceId: string,
  definition: ServiceDefinition,
  dataUuid: string,
  neighbours: Bundle['neighbours'],
  { mode, dns }: NetworkPlan,
): Promise<boolean> {
  const [secrets, owner, server, tailnet] = await Promise.all([
    serviceSecrets(deviceId, definition),
    ownerKey(deviceId),
    hostKey(deviceId, definition.name),
    guestTailnet(deviceId, definition),
  ]);
  const databases = await databasesOn(host, deviceId, definition.name, neighbours);
  const decided = await deviceSettings(deviceId);
  const disk = await configDisk({
    deviceId,
    service: definition.name,
    dataUuid,
    hostname: definition.name,
    interfaces: guestInterfaces(mode, definition),
    dns,
    ntp: timeServersOf(decided),
    hosts: neighbours.map(({ name, address }) => `${address} ${name}`),
    hostKey: server.private,
    authorizedKeys: [owner.public],
    secrets: deliveredSecrets(definition, secrets),
    databases,
    values: settingValues(definition, decided.services[definition.name]),
    tailnet,
  });
  const path = configPath(definition.name);
  if ((await host.digests([path])).get(path) === sha256(disk)) return false;
  const before = await host.read(path);
  await host.write(path, disk, 0o600);
  return before !== undefined && asksForStart(before, disk);
}

/**
 * Passwords that are on the device already must not be replaced by new ones that its data does not know: those of this
 * service, which another workstation may have brought, and of any where this workstation knows none.
 */
async function requireSecrets(host: Host, deviceId: string, definition: ServiceDefinition): Promise<void> {
  const known = knowsSecrets(deviceId);
  if (known && (await holdsSecrets(deviceId, definition))) return;
  for (const service of known ? [definition.name] : await host.list('services')) {
    if (!(await host.list(`services/${service}`)).includes('config.img')) continue;
    throw new SovereignError({
      code: 'no-secrets',
      what: 'this workstation does not have the secrets of this device',
      on: `${host.id}, service ${service}`,
      hint: `Run sovereign adopt${host.kind === 'local' ? '' : ` -s ${host.id}`}: it takes them over from the device`,
    });
  }
  if (!known) note(`first use of ${host.id}: its secrets are kept in ${deviceConfigDir(deviceId)}`);
}

async function holdsSecrets(deviceId: string, { name, secrets }: ServiceDefinition): Promise<boolean> {
  if (!knowsHostKey(deviceId, name)) return false;
  const { values, copied } = await knownSecrets(deviceId, name);
  if (secrets.every(({ make }) => make === 'owner') || Object.keys(values).length > 0) return true;
  if (copied) throw damagedSecrets(deviceId);
  return false;
}
