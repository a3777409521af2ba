import { setTimeout as sleep } from 'node:timers/promises';
import { note, SovereignError, step } from '@sovereign/report';
import {
  releaseId,
  startOrder,
  type Release,
  type ServiceDefinition,
  type SettingValues,
} from '@sovereign/service';
import { writeFileAtomic } from '@sovereign/store';
import { adopt } from './adopt.ts';
import { applySettings, type GuestAccess } from './apply-settings.ts';
import { lastLine, runAgent } from './agent.ts';
import { pruneStore } from './artifacts.ts';
import type {
  Applied,
  Bundle,
  DeployOptions,
  DeployReport,
  Device,
  DeviceNotify,
  Inventory,
  LogOptions,
  Migration,
  ResizeReport,
  ServiceStatus,
  SshTarget,
  StartOptions,
} from './contract.ts';
import { deploy, notConsented, planFor } from './deploy.ts';
import { askAgent, askDevice } from './device-report.ts';
import { changeSettings, deviceSettings } from './device-settings.ts';
import type { Host, Probe } from './host.ts';
import { ensureIdentity, readIdentity } from './identity.ts';
import { HostInspector } from './inspect.ts';
import { inviteByAdminPage } from './invitation.ts';
import { notDeployed } from './not-deployed.ts';
import { serviceLogs } from './logs.ts';
import { requireMemory } from './memory.ts';
import type { NetworkMode } from './network/guest.ts';
import { NotifyControl } from './notify.ts';
import { plannedNetwork } from './plan.ts';
import {
  beginRestore,
  cancelRestore,
  closeService,
  commitRestore,
  dataKept,
  discardKept,
  isRestoring,
  keptDisk,
  swapKept,
} from './restore-disk.ts';
import { assignPorts, forgetPorts, PORT_TAKEN, readPorts, SSH } from './ports.ts';
import { allocateDataDisk, provisioning } from './provisioning.ts';
import { resizeDataDisk } from './resize.ts';
import { requireSecret, SecretsControl } from './secrets-control.ts';
import { forgetSecrets, serviceSecrets } from './secrets.ts';
import { changeOwnSettings, ownSettings, type SettingChange } from './service-settings.ts';
import {
  clearTrial,
  dueRelease,
  dueSlot,
  otherSlot,
  readSlots,
  refreshSlot,
  requireOtherData,
  requireSameFormat,
  setCurrent,
  type Slots,
} from './slots.ts';
import { forgetHostKey, hostKey, knownHostsFile, ownerKey } from './ssh-keys.ts';
import { serviceStatus } from './status.ts';
import { TailnetControl } from './tailnet/control.ts';
import { leaveTailnet } from './tailnet/leave.ts';
import { forgetNode } from './tailnet/store.ts';
import { onTrial, settleTrialData } from './trial-data.ts';

/** Between two looks at a service's health, in milliseconds. */
const HEALTH_INTERVAL = 250;
/** The launcher's own deadline for a start is 120 s; this is behind it. */
const START_TIMEOUT = 150_000;
/** How often other ports are tried where another program took ours between our look and the machine's start. */
const PORT_RETRIES = 3;
/** What a stop may take beside the guest's own deadline, in seconds. */
const STOP_MARGIN = 60;
/** Deadline of the clean stop when a running service is restarted or removed, in seconds. */
const STOP_SECONDS = 60;

/** What the launcher calls the time in which it copies the data for a trial. */
const COPYING = 'copy';

/** A device, whatever kind: the contract over a {@link Host}. */
export class HostedDevice implements Device {
  readonly id: string;
  readonly kind: 'local' | 'adb';
  readonly inspector: HostInspector;
  readonly secrets: SecretsControl;
  readonly notify: DeviceNotify;
  readonly tailnet: TailnetControl;
  readonly #host: Host;
  readonly #guest: GuestAccess;
  /** Release that a start of ours was for, by service. */
  readonly #expected = new Map<string, string>();

  constructor(host: Host) {
    this.#host = host;
    this.id = host.id;
    this.kind = host.kind;
    this.inspector = new HostInspector(host);
    this.#guest = {
      ssh: (service) => this.ssh(service),
      restart: async (service) => {
        await this.stop(service, STOP_SECONDS);
        await this.#start(service);
        await this.#waitHealthy(service, service.health.deadline);
      },
    };
    this.secrets = new SecretsControl(host, this.#guest);
    this.tailnet = new TailnetControl(host, this.#guest.ssh);
    this.notify = new NotifyControl(host);
  }

  probe(): Promise<Probe[]> {
    return this.#host.probe();
  }

  fixable(): Promise<string[]> {
    return this.#host.fixable();
  }

  fix(): Promise<void> {
    return this.#host.exclusively(() => this.#host.fix());
  }

  async inventory(): Promise<Inventory> {
    const { identity, agent } = await askDevice(this.#host);
    return { id: identity?.id, services: [...agent.keys()].filter((name) => name !== '-') };
  }

  preparation(network?: 'vsock' | 'tap'): Promise<string[]> {
    return this.#host.preparation(network);
  }

  adopt(): Promise<string[]> {
    return this.#host.exclusively(() => adopt(this.#host));
  }

  async deploy(bundle: Bundle, options: DeployOptions = {}): Promise<DeployReport> {
    const { deviceId, ...report } = await this.#host.exclusively(async () => {
      await this.#settleRestore(bundle.definition);
      return deploy(this.#host, bundle, options);
    });
    // What was left undone is finished without a restart, or waits for the next start.
    await this.secrets.finish(bundle.definition, { deviceId, guest: { ssh: this.#guest.ssh } });
    return report;
  }

  async applySettings(definition: ServiceDefinition): Promise<Applied> {
    const deviceId = await this.#deviceId(definition.name);
    return this.#host.exclusively(() => applySettings(this.#host, deviceId, definition, this.#guest));
  }

  start(definition: ServiceDefinition, { release }: StartOptions = {}): Promise<void> {
    return this.#host.exclusively(async () => {
      await this.#settleRestore(definition);
      if (release !== undefined) await this.#requireDue(definition, release);
      await this.#start(definition);
    });
  }

  /** A trial that ended since the deploy, or another deploy, must not pass for the release that was deployed. */
  async #requireDue({ name }: ServiceDefinition, release: string): Promise<void> {
    if (dueRelease(await this.#deployed(name)) === release) return;
    const { attention = '' } = (await askAgent(this.#host)).get(name) ?? {};
    if (attention.startsWith('the new release was taken back'))
      throw this.#unhealthy(name, 'rolled-back', attention);
    const what = 'another release is due by now than the one that was deployed';
    throw this.#unhealthy(name, 'other-release', what);
  }

  async #start(definition: ServiceDefinition): Promise<void> {
    const { name } = definition;
    const slots = await this.#deployed(name);
    await this.#prepareStart(definition, slots);
    const expected = dueRelease(slots);
    if (expected !== undefined) this.#expected.set(name, expected);
    const { status, stderr } = await runAgent(this.#host, 'start', [name], START_TIMEOUT);
    if (status === 0) return;
    const damaged = stderr.includes('damaged in the store');
    throw new SovereignError({
      code: damaged ? 'damaged-store' : 'start-failed',
      what: lastLine(stderr) || 'the launcher did not start the service',
      on: `${name} on ${this.id}`,
      hint: damaged
        ? `Run sovereign deploy ${name}: what is damaged is sent again`
        : `sovereign logs ${name} and sovereign logs --boot ${name} tell more`,
      exit: damaged ? 1 : 3,
    });
  }

  /** What may have changed since the deploy, for a machine that does not run. */
  async #prepareStart(definition: ServiceDefinition, slots: Slots): Promise<void> {
    const { agent, disks } = await askDevice(this.#host);
    if (agent.get(definition.name)?.pid !== undefined) return;
    const how = await provisioning(this.#host, definition);
    await allocateDataDisk(this.#host, definition, how, disks.get(definition.name));
    await this.#refreshPorts(definition, slots);
    await this.secrets.beforeStart(definition);
  }

  /** Somebody else may listen on a port by now: the next free one is taken, for both slots. */
  async #refreshPorts(definition: ServiceDefinition, slots: Slots): Promise<void> {
    const { name } = definition;
    const ports = await assignPorts(this.#host, definition, false);
    const mode = await this.#host.networkMode();
    await this.#requireNetwork(name, slots, mode);
    for (const slot of ['a', 'b'] as const) {
      const release = slots.releases[slot];
      if (release === undefined) continue;
      const plan = await planFor(this.#host, { definition, release }, ports, mode);
      await refreshSlot(this.#host, name, slot, plan);
    }
  }

  /** The config disk tells the guest of one network: a service that was deployed before the device's was changed needs another. */
  async #requireNetwork(name: string, slots: Slots, mode: NetworkMode): Promise<void> {
    const launch = await this.#host.read(`services/${name}/${dueSlot(slots) ?? 'a'}/launch`);
    const planned = launch === undefined ? mode : plannedNetwork(launch.toString());
    if (planned === mode) return;
    throw new SovereignError({
      code: 'other-network',
      what: `${name} was deployed for the network ${planned}, and this device has the network ${mode} now`,
      on: `${name} on ${this.id}`,
      hint: `Run sovereign deploy ${name}`,
    });
  }

  async stop({ name }: ServiceDefinition, seconds: number): Promise<void> {
    if (!(await askAgent(this.#host)).has(name)) return;
    const timeout = (seconds + STOP_MARGIN) * 1000;
    const { status, stderr } = await runAgent(this.#host, 'stop', [name, String(seconds)], timeout);
    if (status === 0) return;
    throw new SovereignError({
      code: 'stop-failed',
      what: lastLine(stderr) || `the service did not stop within ${seconds} s`,
      on: `${name} on ${this.id}`,
      hint: `sovereign logs ${name} tells more`,
    });
  }

  async waitHealthy(definition: ServiceDefinition, seconds: number): Promise<void> {
    await step(`wait for ${definition.name} to be healthy`, async () => {
      for (let left = PORT_RETRIES; ; left--) {
        try {
          await this.#waitHealthy(definition, seconds);
          return;
        } catch (error) {
          if (left === 0 || !(error instanceof SovereignError) || !PORT_TAKEN.test(error.what)) throw error;
          // The one of before, where it was taken back for that, would pass for it.
          await this.start(definition, { release: this.#expected.get(definition.name) });
        }
      }
    });
    await this.secrets.whenHealthy(definition);
  }

  async #waitHealthy({ name }: ServiceDefinition, seconds: number): Promise<void> {
    let end = performance.now() + seconds * 1000;
    for (;;) {
      const agent = (await askAgent(this.#host)).get(name) ?? {};
      const { state, health, trial, release, stage, attention } = agent;
      const expected = this.#expected.get(name);
      if (state === 'running' && health === 'ok' && trial !== 'yes') {
        if (expected === undefined || release === expected) return;
        throw this.#unhealthy(
          name,
          'rolled-back',
          attention ?? 'another release runs than the one that was started',
        );
      }
      if (state === undefined || state === 'failed' || state === 'stopped') {
        throw this.#unhealthy(name, 'not-running', attention ?? `the service is ${state ?? 'not deployed'}`);
      }
      // The copy for a trial takes what the disk takes; the launcher counts from there on, too.
      if (stage === COPYING) end = performance.now() + seconds * 1000;
      if (performance.now() > end) {
        const last = health?.startsWith('bad ') === true ? health.slice('bad '.length) : (stage ?? 'none');
        throw this.#unhealthy(name, 'not-healthy', `not healthy after ${seconds} s, last stage: ${last}`);
      }
      await sleep(HEALTH_INTERVAL);
    }
  }

  #unhealthy(service: string, code: string, what: string): SovereignError {
    const hint = `sovereign logs ${service} and sovereign logs --boot ${service} tell more`;
    return new SovereignError({ code, what, on: `${service} on ${this.id}`, hint, exit: 3 });
  }

  status(services: readonly ServiceDefinition[]): Promise<ServiceStatus[]> {
    return serviceStatus(this.#host, services);
  }

  async releases({ name }: ServiceDefinition): Promise<Release[]> {
    const slots = await readSlots(this.#host, name);
    const due = dueSlot(slots);
    if (due === undefined) return [];
    return [due, otherSlot(due)].flatMap((slot) => slots.releases[slot] ?? []);
  }

  rollback(definition: ServiceDefinition): Promise<{ from: string; to: string }> {
    return this.#host.exclusively(() => this.#rollback(definition));
  }

  async #rollback(definition: ServiceDefinition): Promise<{ from: string; to: string }> {
    const { name } = definition;
    const slots = await this.#deployed(name);
    const { current, trial, releases } = slots;
    const now = current === undefined ? undefined : releases[current];
    const other = current === undefined ? undefined : otherSlot(current);
    const before = other === undefined ? undefined : releases[other];
    if (now === undefined || other === undefined || before === undefined) {
      throw new SovereignError({
        code: 'no-release-before',
        what: 'there is no release before this one',
        on: `${name} on ${this.id}`,
        hint: `Build the one that you want and run sovereign deploy ${name}`,
      });
    }
    const wasWanted = await this.#isWanted(name);
    // A release on trial is not current yet: going back means giving it up.
    const [from, to] = trial === undefined ? [now, before] : [before, now];
    if (trial === undefined) {
      await settleTrialData(this.#host, definition);
      if ((await keptDisk(this.#host, name))?.slot === other)
        throw dataKept(this.#host, name, 'the release before reads that alone');
      requireSameFormat(definition, from, to);
      await setCurrent(this.#host, name, other);
    } else await clearTrial(this.#host, name);
    if (wasWanted) await this.#start(definition);
    return { from: releaseId(from), to: releaseId(to) };
  }

  resize(definition: ServiceDefinition, size: number): Promise<ResizeReport> {
    return this.#host.exclusively(async () => {
      await this.#deployed(definition.name);
      await settleTrialData(this.#host, definition);
      return resizeDataDisk(this.#host, definition, size, {
        isWanted: () => this.#isWanted(definition.name),
        stop: () => this.stop(definition, STOP_SECONDS),
        start: () => this.#start(definition),
      });
    });
  }

  restore(
    definition: ServiceDefinition,
    fill: (guest: SshTarget) => Promise<void>,
    options: { keep?: boolean } = {},
  ): Promise<void> {
    return this.#host.exclusively(() => this.#restore(definition, fill, options.keep ?? true));
  }

  async #restore(
    definition: ServiceDefinition,
    fill: (guest: SshTarget) => Promise<void>,
    keep: boolean,
  ): Promise<void> {
    const { name } = definition;
    await this.#settled(definition);
    if ((await keptDisk(this.#host, name))?.slot !== undefined) {
      throw dataKept(this.#host, name, 'one disk is kept at a time');
    }
    await this.#orAsBefore(definition, async () => {
      await step(`stop ${name}`, () => this.stop(definition, STOP_SECONDS));
      await beginRestore(this.#host, definition);
      await this.#fillNewDisk(definition, fill);
      if (keep) await commitRestore(this.#host, name);
    });
  }

  /** The current release and its own disk are what counts, whatever was left undone. */
  async #settled(definition: ServiceDefinition): Promise<Slots> {
    const slots = await this.#deployed(definition.name);
    if (slots.trial !== undefined) throw onTrial(this.#host, definition.name);
    await settleTrialData(this.#host, definition);
    await this.#settleRestore(definition);
    return slots;
  }

  /** Does what changes disks; unless that was committed, all is as before then, and what ran runs again. */
  async #orAsBefore(definition: ServiceDefinition, work: () => Promise<void>): Promise<void> {
    const wasWanted = await this.#isWanted(definition.name);
    let failed = true;
    try {
      await work();
      failed = false;
    } finally {
      const undone = await this.#settleRestore(definition);
      if ((undone || failed) && wasWanted) await this.#start(definition);
    }
  }

  async #startClosed(definition: ServiceDefinition, how: string): Promise<void> {
    await step(`start ${definition.name} ${how}, closed`, async () => {
      await this.#start(definition);
      await this.#waitHealthy(definition, definition.health.deadline);
    });
  }

  async #fillNewDisk(
    definition: ServiceDefinition,
    fill: (guest: SshTarget) => Promise<void>,
  ): Promise<void> {
    await this.#startClosed(definition, 'on a new data disk');
    await fill(await this.ssh(definition));
    await this.waitHealthy(definition, definition.health.deadline);
  }

  migrate(bundle: Bundle, steps: Migration): Promise<DeployReport> {
    return this.#host.exclusively(() => this.#migrate(bundle, steps));
  }

  async #migrate(bundle: Bundle, { drain, fill }: Migration): Promise<DeployReport> {
    const { definition } = bundle;
    const { name } = definition;
    const { current, releases } = await this.#settled(definition);
    const now = current === undefined ? undefined : releases[current];
    if (current === undefined || now === undefined) throw notDeployed(name, this.id);
    requireOtherData(now, bundle.release);
    if ((await keptDisk(this.#host, name)) !== undefined) {
      throw dataKept(this.#host, name, 'one disk is kept at a time');
    }
    const report = await deploy(this.#host, bundle, {}, { migrates: true });
    await this.#orAsBefore(definition, async () => {
      await step(`stop ${name}`, () => this.stop(definition, STOP_SECONDS));
      await closeService(this.#host, name, 'moving the data');
      await this.#startClosed(definition, 'as it is');
      await drain(await this.ssh(definition));
      await step(`stop ${name}`, () => this.stop(definition, STOP_SECONDS));
      await beginRestore(this.#host, definition, current);
      await setCurrent(this.#host, name, report.slot);
      await this.#fillNewDisk(definition, fill);
      await commitRestore(this.#host, name);
    });
    return report;
  }

  undoRestore(definition: ServiceDefinition): Promise<void> {
    return this.#host.exclusively(() => this.#undoRestore(definition));
  }

  async #undoRestore(definition: ServiceDefinition): Promise<void> {
    const { name } = definition;
    const { current, releases } = await this.#deployed(name);
    await settleTrialData(this.#host, definition);
    if (await this.#settleRestore(definition)) return this.#start(definition);
    const kept = await keptDisk(this.#host, name);
    if (kept === undefined) {
      throw new SovereignError({
        code: 'nothing-kept',
        what: 'there is no data from before a restore or a migration',
        on: `${name} on ${this.id}`,
        hint: `sovereign backup list ${name} shows the backups that can be restored`,
      });
    }
    if (kept.slot !== undefined && (kept.slot === current || releases[kept.slot] === undefined)) {
      throw new SovereignError({
        code: 'release-gone',
        what: 'the release that can read the data which was kept is not on the device any more',
        on: `${name} on ${this.id}`,
        hint: `sovereign restore ${name} --discard gives that data up`,
      });
    }
    await this.stop(definition, STOP_SECONDS);
    await swapKept(this.#host, name, kept.slot);
    await this.#start(definition);
  }

  discardKept({ name }: ServiceDefinition): Promise<boolean> {
    return this.#host.exclusively(async () => {
      if ((await keptDisk(this.#host, name)) === undefined) return false;
      await discardKept(this.#host, name);
      return true;
    });
  }

  /**
   * Ends what a restore that was cut left behind: the data from before it is back.
   * @returns whether there was one
   */
  async #settleRestore(definition: ServiceDefinition): Promise<boolean> {
    const { name } = definition;
    if (!(await isRestoring(this.#host, name))) return false;
    await this.stop(definition, STOP_SECONDS);
    await cancelRestore(this.#host, name);
    return true;
  }

  remove(definition: ServiceDefinition, options: { data: boolean }): Promise<void> {
    return this.#host.exclusively(() => this.#remove(definition, options.data));
  }

  async #remove(definition: ServiceDefinition, data: boolean): Promise<void> {
    const { name } = definition;
    const folder = `services/${name}`;
    if (data) await leaveTailnet(this.#host, definition, this.tailnet, () => this.#start(definition));
    await this.stop(definition, STOP_SECONDS);
    await this.#host.endForwards(Object.values((await readPorts(this.#host)).services[name] ?? {}));
    // What makes it a service goes first: an interrupted removal leaves nothing that would start again.
    await this.#host.remove(`${folder}/trial`);
    if (!data) await settleTrialData(this.#host, definition);
    await this.#host.remove(`${folder}/current`);
    for (const file of await this.#host.list(folder)) {
      // Also the disk that a restore kept.
      if (data || !file.startsWith('data.')) await this.#host.remove(`${folder}/${file}`);
    }
    if (data) await this.#forget(name, folder);
    else if ((await this.#host.list(folder)).length > 0)
      note(`the data of ${name} is kept: ${this.#host.root}/${folder}`);
    const services = await this.#host.list('services');
    const slots = await Promise.all(services.map((service) => readSlots(this.#host, service)));
    if (slots.every(({ current, trial }) => current === undefined && trial === undefined)) {
      await this.#leave(services.length === 0);
    }
    await pruneStore(this.#host);
  }

  async #leave(data: boolean): Promise<void> {
    const { status, stderr } = await runAgent(this.#host, 'remove', [], STOP_MARGIN * 2000);
    // 127: no launcher was ever installed.
    if (status !== 0 && status !== 127) {
      throw new SovereignError({
        code: 'not-removed',
        what: lastLine(stderr) || 'the launcher did not take back what it set',
        on: this.id,
        hint: 'Run the command again',
      });
    }
    await this.#host.leave(data);
  }

  async #forget(name: string, folder: string): Promise<void> {
    await this.#host.remove(folder);
    await forgetPorts(this.#host, name);
    const identity = await readIdentity(this.#host);
    if (identity === undefined) return;
    await forgetSecrets(identity.id, name);
    await forgetHostKey(identity.id, name);
    await forgetNode(identity.id, name);
    // With the data goes the account.
    const { invited } = await deviceSettings(identity.id);
    if (invited?.[name] === undefined) return;
    const others = Object.entries(invited).filter(([service]) => service !== name);
    await changeSettings(identity.id, () => ({ invited: Object.fromEntries(others) }));
  }

  logs({ name }: ServiceDefinition, options: LogOptions): AsyncIterable<string> {
    return serviceLogs(this.#host, name, options);
  }

  async ssh({ name }: Pick<ServiceDefinition, 'name'>): Promise<SshTarget> {
    const deviceId = await this.#deviceId(name);
    const port = (await readPorts(this.#host)).services[name]?.[SSH];
    if (port === undefined) throw notDeployed(name, this.id);
    const forwarded = await this.#host.forward(port);
    const [owner, server] = await Promise.all([ownerKey(deviceId), hostKey(deviceId, name)]);
    const knownHosts = knownHostsFile(deviceId, name);
    await writeFileAtomic(knownHosts, `[127.0.0.1]:${forwarded} ${server.public}\n`, 0o600);
    return {
      host: '127.0.0.1',
      port: forwarded,
      user: 'root',
      identityFile: owner.file,
      knownHostsFile: knownHosts,
    };
  }

  async secret(definition: ServiceDefinition, name: string): Promise<string> {
    const deviceId = await this.#deviceId(definition.name);
    requireSecret(definition, name);
    const value = (await serviceSecrets(deviceId, definition))[name];
    if (value !== undefined) return value;
    throw new SovereignError({
      code: 'secret-not-set',
      what: 'this secret was never set',
      on: `${definition.name}, ${name}`,
      hint: `sovereign secrets set ${definition.name} ${name} reads it`,
    });
  }

  async startOrder(
    asked: readonly ServiceDefinition[],
    all: readonly ServiceDefinition[],
  ): Promise<ServiceDefinition[]> {
    const report = await askDevice(this.#host);
    const { services } = await deviceSettings(report.identity?.id);
    const order = startOrder(asked, all, (service) => services[service] ?? {});
    requireMemory(this.id, report, order, all);
    return order;
  }

  async settings(definition: ServiceDefinition): Promise<SettingValues> {
    return ownSettings((await readIdentity(this.#host))?.id, definition);
  }

  changeSettings(definition: ServiceDefinition, change: SettingChange): Promise<SettingValues> {
    return this.#host.exclusively(async () => {
      const known = await readIdentity(this.#host);
      if (known === undefined && this.kind === 'adb') throw notConsented(this.#host);
      const { id } = known ?? (await ensureIdentity(this.#host));
      return changeOwnSettings(id, definition, change);
    });
  }

  async invited({ name }: ServiceDefinition): Promise<string | undefined> {
    return (await deviceSettings((await readIdentity(this.#host))?.id)).invited?.[name];
  }

  async invite(definition: ServiceDefinition, address: string): Promise<boolean> {
    const deviceId = await this.#deviceId(definition.name);
    const [status] = await this.status([definition]);
    const page = status?.endpoints.find(
      ({ name, via }) => name === definition.invitation?.port && via === undefined,
    );
    const token = await this.secret(definition, definition.invitation?.secret ?? '');
    const made = await inviteByAdminPage({ url: page?.url, token, address, service: definition.name });
    await changeSettings(deviceId, ({ invited }) => ({
      invited: { ...invited, [definition.name]: address },
    }));
    return made;
  }

  /** Also one that is to start anew, as the launcher's own is_wanted. */
  async #isWanted(service: string): Promise<boolean> {
    const { wanted = '' } = (await askAgent(this.#host)).get(service) ?? {};
    return wanted === 'up' || wanted.startsWith('restart ');
  }

  async #deviceId(service: string): Promise<string> {
    const identity = await readIdentity(this.#host);
    if (identity === undefined) throw notDeployed(service, this.id);
    return identity.id;
  }

  async #deployed(service: string): Promise<Slots> {
    const slots = await readSlots(this.#host, service);
    if (slots.current === undefined) throw notDeployed(service, this.id);
    return slots;
  }
}
