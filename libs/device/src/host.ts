import type { MachineNetwork, NetworkMode, NetworkPlan } from './network/guest.ts';

/**
 * What differs from device to device. Everything else (deploy, slots, start, stop, status…) is written once, over
 * this. Paths are relative to the device's own folder, {@link Host.root}, unless they say otherwise.
 */
export interface Host {
  /** `local`, or the serial of a phone. */
  readonly id: string;
  readonly kind: 'local' | 'adb';
  /** The device's folder, as absolute path on the device. */
  readonly root: string;

  probe(): Promise<Probe[]>;

  /** What {@link fix} would set, one phrase each. */
  fixable(): Promise<string[]>;
  /** Sets it, and keeps what stood before. */
  fix(): Promise<void>;

  /**
   * Runs a POSIX sh script on the device, `args` being its positional parameters. An exit status that is not zero is
   * a result, no error.
   */
  sh(script: string, args: readonly string[], options?: ScriptOptions): Promise<ScriptResult>;

  /** Content of a small file, undefined where there is none. */
  read(path: string): Promise<Buffer | undefined>;
  /** Replaces a small file by rename, and makes the folders above it. */
  write(path: string, content: string | Uint8Array, mode?: number): Promise<void>;
  /** Replaces a folder by one that holds exactly these small files; it appears whole, by one rename. */
  writeFolder(path: string, files: Readonly<Record<string, string>>): Promise<void>;
  /** Names in a folder, sorted; none where it does not exist. */
  list(folder: string): Promise<string[]>;
  /** Removes a file or a folder with all that is in it; what is not there is no error. */
  remove(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;

  /** Free space for the device's folder, in bytes. */
  freeSpace(): Promise<number>;
  /** SHA-256 by path, without those files that are not there. */
  digests(paths: readonly string[]): Promise<Map<string, string>>;
  /**
   * Copies a file of this workstation onto the device and compares its digest there; under a temporary name, so that
   * what is interrupted never looks finished.
   * @param onBytes called with the bytes of the file that got there since the last call
   * @returns the bytes of the file that were sent now, without those that an interrupted try had brought
   */
  put(local: string, path: string, sha256: string, onBytes: (count: number) => void): Promise<number>;
  /**
   * Makes the file of a data disk with `mark` in its first block; nothing else is on it.
   * @param size in bytes
   * @param allocated whether it takes all its space at once; else it is sparse
   */
  makeDisk(path: string, size: number, mark: string, allocated: boolean): Promise<void>;
  /**
   * Makes the file of a data disk larger; what is on it stays. Interrupted, it may have any size in between.
   * @param size in bytes, not less than it has
   * @param allocated whether it takes all its space from now on
   */
  growDisk(path: string, size: number, allocated: boolean): Promise<void>;

  /** Runs `work` while nobody else, from whatever workstation, changes this device. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;

  /** True where nothing listens on this port of the device's own loopback address. */
  portIsFree(port: number): Promise<boolean>;
  /** The port on this workstation's loopback address that leads to that port of the device's. */
  forward(port: number): Promise<number>;
  /** Takes away what {@link forward} made for these ports. */
  endForwards(ports: readonly number[]): Promise<void>;

  /** What the device calls itself: its host name, or its model. */
  name(): Promise<string>;
  /** The device's processor, as Go and Debian spell it. */
  arch(): Promise<'amd64' | 'arm64'>;
  /** What virtual machines run on here; undefined where that is no matter. */
  platform(): Promise<Platform | undefined>;
  /** How guests are networked here, with the resolvers that they are told. */
  network(): Promise<NetworkPlan>;
  /** The first half of {@link network}, which needs no network to be there now. */
  networkMode(): Promise<NetworkMode>;
  /** What the launcher has to know of this device, beside its network. */
  settings(): Promise<DeviceSettings>;
  /**
   * Takes back what {@link prepare} set and what was chosen for this device, once no service is left on it.
   * @param data whether no data is left either
   */
  leave(data: boolean): Promise<void>;
  /** What {@link prepare} and the launcher set beside the device's own folder, for people. */
  preparation(network?: 'vsock' | 'tap'): Promise<string[]>;
  /** Sets what a device needs before its first service, and once more changes nothing: its folder, a boot hook. */
  prepare(): Promise<void>;
  /**
   * The command that runs this machine.
   * @throws SovereignError where the device cannot run it
   */
  command(machine: Machine): Promise<VmmCommand>;

  /** Lines of a text file from its beginning; with `follow` also those that are appended later. */
  lines(path: string, follow: boolean, signal: AbortSignal): AsyncIterable<string>;
}

/** One thing that a device is asked for before anything is done with it. */
export interface Probe {
  name: string;
  ok: boolean;
  /** What was seen. */
  evidence: string;
  /** What the evidence only counts, for scripts. */
  details?: readonly string[];
  /** What to do where it is not ok. */
  cure?: string;
}

/** What virtual machines run on. */
export interface Platform {
  /** Changes with it. */
  line: string;
  /** Shell script that prints the line. */
  script: string;
}

export interface ScriptOptions {
  /** Milliseconds after which the script is given up. */
  timeout?: number;
  /** It changes nothing: what was read before still holds. */
  readOnly?: boolean;
}

export interface ScriptResult {
  status: number;
  stdout: string;
  stderr: string;
}

/** Lines of `device.conf` (docs/formats.md, "Device"). */
export interface DeviceSettings {
  /** MiB of the device's file system that no service may use; below it services are stopped cleanly. 0: not watched. */
  reserve: number;
  /** Whether the device has to be kept awake while a service is wanted. */
  awake: boolean;
  /** Absolute path of the boot hook, where there is one. */
  hook?: string;
}

/** How a VMM is called. */
export interface VmmCommand {
  /** In the order to try: another spelling where arguments are refused, fewer CPUs where the guest does not start. */
  variants: { argv: string[]; cpus: number }[];
  /** `stdio`: the control channel is the VMM's standard input and output. `file`: it opens the two files itself. */
  control: 'stdio' | 'file';
  /** Exit statuses are those of crosvm's `--extended-status`. */
  extendedExit: boolean;
}

/** One virtual machine, as every VMM has to run it. Paths are absolute on the device. */
export interface Machine {
  name: string;
  kernel: string;
  /** Kernel parameters. Never a secret: they are readable everywhere and logged. */
  cmdline: string;
  root: string;
  data: string;
  /** Whether what the guest discards on its data disk is given back to the device. */
  discard: boolean;
  config: string;
  /** MiB. */
  memory: number;
  cpus: number;
  /** Appended by the VMM: console of the kernel and init. */
  consoleLog: string;
  /** Appended by the VMM: what the kernel says before its console works. */
  earlyLog: string;
  /** The guest's end of the control channel, for a VMM that opens it: a regular file and a FIFO. */
  control: { output: string; input: string };
  network: MachineNetwork;
}
