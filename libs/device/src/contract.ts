import type { Release, ServiceDefinition, SettingValues } from '@sovereign/service';
import type { Probe } from './host.ts';
import type { Inspector } from './inspect.ts';
import type { SettingChange } from './service-settings.ts';
import type { TailnetChange } from './tailnet/change.ts';
import type { TailnetSettings } from './tailnet/settings.ts';
import type { TailnetStatus } from './tailnet/state.ts';

/** The device contract: what both kinds of device (this machine, a phone over adb) do for their callers. */
export interface Device {
  /** `local`, or the serial of a phone. */
  readonly id: string;
  readonly kind: 'local' | 'adb';

  /** What this device can do, each with its evidence. Changes nothing. */
  probe(): Promise<Probe[]>;

  /** Who this device is and what was deployed on it. Changes nothing. */
  inventory(): Promise<Inventory>;

  /** What the first deploy sets on this device beside its own folder, for people. Changes nothing. */
  preparation(network?: 'vsock' | 'tap'): Promise<string[]>;

  /**
   * Takes over what another workstation knows of this device: the secrets and host keys on its config disks.
   * @returns the services that were taken over; none where this workstation knows the device already
   */
  adopt(): Promise<string[]>;

  /** What {@link fix} would set, one phrase each; none where all is set. Changes nothing. */
  fixable(): Promise<string[]>;
  /** Sets what can be set and taken back; the removal of the last service takes it back. */
  fix(): Promise<void>;

  /**
   * Puts a release on the device and makes it the one that the next start boots, on trial where another release
   * ran before. Files that are there already are not sent again; repeating it changes nothing.
   */
  deploy(bundle: Bundle, options?: DeployOptions): Promise<DeployReport>;

  /**
   * Starts the launcher of a service; returns once it runs. Starting what runs changes nothing.
   * @throws SovereignError `rolled-back`, `other-release` where the release that is asked for is not due any more
   */
  start(service: ServiceDefinition, options?: StartOptions): Promise<void>;

  /**
   * Stops a service: asks the guest first, cuts the power after the deadline. Stopping what is stopped changes
   * nothing.
   * @param seconds deadline of the clean stop
   */
  stop(service: ServiceDefinition, seconds: number): Promise<void>;

  /**
   * Waits until the service is healthy.
   * @throws SovereignError with exit 3 when the deadline passes or the launcher gave up, naming the last stage
   */
  waitHealthy(service: ServiceDefinition, seconds: number): Promise<void>;

  status(services: readonly ServiceDefinition[]): Promise<ServiceStatus[]>;

  /** The releases that the device holds of a service, the one that the next start boots first. Changes nothing. */
  releases(service: ServiceDefinition): Promise<Release[]>;

  /** Makes the release before the current one current again, and restarts the service where it ran. */
  rollback(service: ServiceDefinition): Promise<{ from: string; to: string }>;

  /**
   * Makes the data disk larger: stops the service where it runs, and starts it again. Cut off, it goes on when it is
   * called again.
   * @param size of the disk, in bytes
   * @throws SovereignError with exit 2 for a size that is smaller than what it has, `no-space`
   */
  resize(service: ServiceDefinition, size: number): Promise<ResizeReport>;

  /**
   * Replaces the data of a service: the guest starts closed on a new data disk, and `fill` brings the data in over SSH.
   * The disk from before is kept, for {@link undoRestore}. Where `fill` fails, or anything else does, or this process
   * ends, it is in its place again, at the latest with the next start.
   * @param options.keep false: the disk from before comes back in any case, as for a trial of a backup
   */
  restore(
    service: ServiceDefinition,
    fill: (guest: SshTarget) => Promise<void>,
    options?: { keep?: boolean },
  ): Promise<void>;

  /**
   * Puts the data disk back that the last restore or migration kept, with the release that can read it, and keeps the one
   * that it replaces: a second time goes forth again. The service is started.
   * @throws SovereignError `nothing-kept`, `release-gone`
   */
  undoRestore(service: ServiceDefinition): Promise<void>;

  /** Gives up the data disk that the last restore or migration kept; false where none was. */
  discardKept(service: ServiceDefinition): Promise<boolean>;

  /**
   * Puts a release on the device that keeps the data in another format than the current one, and moves the data there:
   * the current release is started closed for `drain`, then the new one on a new disk, closed, for `fill`. The disk from
   * before is kept with its release, for {@link undoRestore}. Where anything fails, or this process ends, release and
   * disk are as they were, at the latest with the next start.
   * @throws SovereignError `same-data`, `data-kept`, `on-trial`
   */
  migrate(bundle: Bundle, steps: Migration): Promise<DeployReport>;

  /** Takes back what deploy and start set; the data disk goes only with `data`. */
  remove(service: ServiceDefinition, options: { data: boolean }): Promise<void>;

  /** Lines of the guest's and the launcher's log, or of the boot console. */
  logs(service: ServiceDefinition, options: LogOptions): AsyncIterable<string>;

  /** How to reach the guest's SSH server; the key and the pinned host key are files of the workstation. */
  ssh(service: Pick<ServiceDefinition, 'name'>): Promise<SshTarget>;

  /** A secret of this service on this device, made when it is first needed. */
  secret(service: ServiceDefinition, name: string): Promise<string>;

  /**
   * These services and those that they need here, in the order in which they are started. Changes nothing.
   * @param all every service of the workspace
   * @throws SovereignError `needs-cycle`, `unknown-need`; `no-memory` where they do not fit beside what runs
   */
  startOrder(
    asked: readonly ServiceDefinition[],
    all: readonly ServiceDefinition[],
  ): Promise<ServiceDefinition[]>;

  /** What the owner decided for a service here, without the defaults. */
  settings(service: ServiceDefinition): Promise<SettingValues>;

  /**
   * Keeps what the owner decides for a service; the next deploy brings it to the guest.
   * @throws SovereignError with exit 2 for what is no setting, and for a phone that was never used
   */
  changeSettings(service: ServiceDefinition, change: SettingChange): Promise<SettingValues>;

  /** The address that was invited to register at a service here; undefined where none was. Changes nothing. */
  invited(service: ServiceDefinition): Promise<string | undefined>;

  /**
   * Lets the owner of this address register at a running service, by its admin page.
   * @returns false where there is an account of this address already
   * @throws SovereignError `not-invited`
   */
  invite(service: ServiceDefinition, address: string): Promise<boolean>;

  /** What its services keep secret. */
  readonly secrets: DeviceSecrets;

  /**
   * Gives a service the secrets and settings that hold for it now: its config disk is written anew, and a guest that
   * runs takes it, without a restart where the service can. Repeating it changes nothing.
   * @throws SovereignError `not-applied`, `guest-unreachable`: the disk has them, the guest that runs does not
   */
  applySettings(service: ServiceDefinition): Promise<Applied>;

  /** How its services are reached in the owner's tailnet. */
  readonly tailnet: DeviceTailnet;

  readonly notify: DeviceNotify;

  /** For whoever looks for the cause of a fault. */
  readonly inspector: Inspector;
}

/**
 * Who has new settings: the guest that runs (`live`), one that was started anew for it (`restarted`), the next one that
 * starts (`next-start`), nobody, since the service is not deployed (`not-deployed`).
 */
export type Applied = 'live' | 'restarted' | 'next-start' | 'not-deployed';

/** The secrets of one device's services: kept on this workstation, and on their config disks. */
export interface DeviceSecrets {
  /** Every secret that the service declares, without values. Makes none, changes nothing. */
  list(service: ServiceDefinition): Promise<SecretState[]>;

  /**
   * The values that the guest may have now, the newest first: more than one while a change is not done.
   * Makes none, changes nothing.
   */
  candidates(service: ServiceDefinition, name: string): Promise<string[]>;

  /**
   * Gives a secret this value, on a service that runs too.
   * @throws SovereignError `no-such-secret`, `bad-secret` with exit 2; `change-pending` where it is kept and the guest
   * did not take it yet: the next change, deploy or start does the rest
   */
  set(service: ServiceDefinition, name: string, value: string): Promise<Applied>;

  /**
   * Makes new values for this secret, or for all that are made; a change that was begun before is finished instead.
   * @throws SovereignError as {@link set}, and `owners-secret`
   */
  rotate(service: ServiceDefinition, name?: string): Promise<RotateReport>;
}

export interface SecretState {
  name: string;
  description: string;
  /** `made` by us, `set` by its owner, `missing`: there is no value yet. */
  state: 'made' | 'set' | 'missing';
  /** The guest may still have the value of before. */
  pending: boolean;
}

export interface RotateReport {
  /** Secrets that got a new value. */
  rotated: string[];
  /** Secrets whose change had been begun before. */
  finished: string[];
  applied: Applied;
}

/**
 * How a message is sent: to a topic of ntfy, or as JSON with a `text`, as chat servers take it. A phone shows it on its
 * screen too; with `phone` there alone.
 */
export type NotifyKind = 'ntfy' | 'webhook' | 'phone';

/** Who is told by the device itself when something there needs attention. */
export interface DeviceNotify {
  /** Undefined where nobody is told. */
  kind(): Promise<NotifyKind | undefined>;

  /**
   * From now on it is told there.
   * @param address for a message; none for `phone`
   * @returns whether the device has the program that sends already
   * @throws SovereignError `bad-address` with exit 2, without the address; `no-screen` with exit 2; `not-deployed`
   */
  set(kind: NotifyKind, address?: string): Promise<'now' | 'next-deploy'>;

  /** Nobody is told any more. */
  off(): Promise<void>;

  /**
   * Leaves something with the device that it shall tell its owner of later, in the place of what was left before; one
   * that does not have the service is left nothing.
   */
  remind(service: string, reminder: Reminder): Promise<void>;
}

/** What is to be said of a service from some time on, unless another word comes before: that its backup is old. */
export interface Reminder {
  from: Date;
  /** One line of ASCII. */
  text: string;
}

/** A device's services as nodes of the owner's tailnet. `login`, `logout` and `rename` ask the guest, over SSH. */
export interface DeviceTailnet {
  /** What the owner decided; undefined where the tailnet is not on. */
  settings(): Promise<TailnetSettings | undefined>;

  /**
   * Whether a deploy could take this change. Changes nothing.
   * @throws SovereignError with exit 2
   */
  check(change: TailnetChange): Promise<void>;

  /**
   * Begins a login: with a key it is done when this returns, without one a person has to visit the address.
   * @param again also where the node is logged in, so that its key lasts longer
   * @returns undefined where the node is logged in
   * @throws SovereignError `tailnet-refused`, `tailnet-off`
   */
  login(
    service: ServiceDefinition,
    options?: { key?: string | undefined; again?: boolean },
  ): Promise<{ url: string } | undefined>;

  /** Logs the node out and forgets the auth key; control servers keep the entry of a node that is logged out. */
  logout(service: ServiceDefinition): Promise<void>;

  /** Gives the node another host name, from now on. */
  rename(service: ServiceDefinition, hostname: string): Promise<void>;

  /** Keeps what these services tell of their nodes, and takes an auth key away that was used. Needs no guest. */
  settle(services: readonly ServiceDefinition[]): Promise<void>;
}

export interface Inventory {
  /** The device's own id, undefined before its first deploy. */
  id: string | undefined;
  services: string[];
}

export interface Bundle {
  definition: ServiceDefinition;
  release: Release;
  /** Local paths of the artifacts that the release names. */
  files: { kernel: string; root: string; agent: string; gvproxy: { amd64: string; arm64: string } };
  /** Every other service of the workspace, with its address where services share a network. */
  neighbours: readonly { name: string; address: string; definition: ServiceDefinition }[];
}

/** How data gets from one release to another, over SSH. Neither release has clients meanwhile. */
export interface Migration {
  /** Takes everything out of the release of before. */
  readonly drain: (guest: SshTarget) => Promise<void>;
  /** Brings it into the new one, which has no data yet. */
  readonly fill: (guest: SshTarget) => Promise<void>;
}

export interface StartOptions {
  /** Id of the release that was deployed for this start; default: whichever is due. */
  release?: string | undefined;
}

/** What the owner says at a deploy. */
export interface DeployOptions {
  /** A phone that was never used may be changed. */
  consent?: boolean;
  /** How guests are networked, from now on on this phone. */
  network?: 'vsock' | 'tap' | undefined;
  /** Name servers that guests ask, from now on on this phone. */
  dns?: string[] | undefined;
  /** How services are reached in the owner's tailnet, from now on on this device. */
  tailnet?: TailnetChange | undefined;
}

export interface DeployReport {
  release: string;
  slot: 'a' | 'b';
  /** False where the device had this release already. */
  changed: boolean;
  bytesSent: number;
}

export interface ResizeReport {
  /** Of the disk, in bytes. */
  from: number;
  to: number;
  /** Whether the service was running, and was started again. */
  started: boolean;
}

export type ServiceState = 'stopped' | 'starting' | 'running' | 'stopping' | 'failed' | 'unknown';

/** One service in `status --json`; docs/interface.md. */
export interface ServiceStatus {
  name: string;
  state: ServiceState;
  /** Null where health is not known; unknown is not healthy. */
  healthy: boolean | null;
  release: string | null;
  slot: 'a' | 'b' | null;
  trial: boolean;
  pid: number | null;
  /** ISO 8601. */
  since: string | null;
  restarts: number;
  endpoints: Endpoint[];
  /**
   * Bytes of the data disk, and those that the service can still write, as the guest told last; where the disk is thin,
   * those of the device that it takes by now: it is promised no more.
   */
  data?: { size: number; free: number; thin?: number };
  /** Bytes of memory that its machine has, and those of the device that it holds by now; while it runs. */
  memory?: { size: number; held: number };
  /** Its node in the owner's tailnet, where it is to have one or still has. */
  tailnet?: TailnetStatus;
  /** What a person should know: why it failed, that it was rolled back. */
  attention?: string;
}

export interface Endpoint {
  name: string;
  /** Never holds a password. */
  url: string;
  /** `tailnet`: from the owner's other devices. Absent: from this workstation. */
  via?: 'tailnet';
}

export interface LogOptions {
  /** The console from power-on instead of the service's log. */
  boot: boolean;
  follow: boolean;
  signal: AbortSignal;
}

export interface SshTarget {
  host: '127.0.0.1';
  port: number;
  user: 'root';
  identityFile: string;
  knownHostsFile: string;
}
