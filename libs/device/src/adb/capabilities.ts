/**
 * How root is reached: adbd itself runs as root, through `su -c` (Magisk, KernelSU, APatch), through the `su` of a
 * userdebug build, or not at all.
 */
export type RootFlavour = 'adbd' | 'magisk' | 'kernelsu' | 'apatch' | 'userdebug' | 'none';

/** What a phone is and can do, as {@link parseProbe} reads it from the output of {@link probeScript}. */
export interface Capabilities {
  /** For example `14`. */
  androidRelease: string;
  sdk: number;
  /** The line that changes when Android, its virtualization module or its VMM does. */
  platform: string;
  model: string;
  /** Root as it was reached by the script itself. */
  root: RootFlavour;
  /** A flavour that is installed and gave the script no root. */
  rootRefused?: RootFlavour;
  arch: 'amd64' | 'arm64';
  crosvm?: Crosvm;
  /** Device file of the hypervisor, for example `/dev/kvm`. */
  hypervisor?: string;
  /** What the bootloader says of virtual machines; undefined where it says nothing. */
  boot: { unprotected?: boolean; protected?: boolean; version?: string };
  vhostVsock: boolean;
  tun: boolean;
  /** MiB. */
  memory: number;
  /** MiB that can be had without swapping. */
  memoryAvailable: number;
  /** MiB free for the device's folder; undefined where it could not be read. */
  freeSpace?: number;
  /** File system and options of `/data`. */
  data?: { type: string; options: readonly string[] };
  /** `Enforcing`, `Permissive` or `Disabled`; empty where it could not be read. */
  selinux: string;
  /** Wi-Fi that is in use; whether it saves power is undefined where the phone has no way to tell. */
  wifi?: { device: string; powerSave?: boolean };
  /** State of deep doze, for example `ACTIVE`; undefined where there is none. */
  doze?: string;
  phantom: PhantomKiller;
  battery?: { level: number; celsius: number; plugged: boolean };
  /** Name servers of the uplink. */
  dns: string[];
  /** What the predecessor of Sovereign left on this phone. */
  foreign: string[];
}

/** Settings of Android's killer of processes that apps started, as it tells them; `null` where they are not set. */
export interface PhantomKiller {
  /** `settings_enable_monitor_phantom_procs`: false where it does not look at all. */
  monitor: string;
  /** How many such processes it lets live. */
  limit: string;
  /** Whether the limit stays when Android fetches its configuration anew: `none`, `until_reboot`, `persistent`. */
  sync: string;
}

/** The VMM of a phone. */
export interface Crosvm {
  path: string;
  sha256: string;
  /** Options that its own `run --help` lists, with their dashes. */
  flags: ReadonlySet<string>;
}
