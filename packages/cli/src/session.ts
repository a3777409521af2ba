import type { Device } from '@sovereign/device';
import type { FoundService } from '@sovereign/service';
import type { Flags } from './flags.ts';

/** Where a command reads and writes. Results go to `out`, everything else to `err`. */
export interface Streams {
  in: NodeJS.ReadStream;
  out: NodeJS.WriteStream;
  err: NodeJS.WriteStream;
}

/** How a command gets at devices. */
export interface DeviceAccess {
  /** The device that the command line means. */
  pick(): Promise<Device>;
  /** This machine, and the phones that were used from here before. */
  used(): Promise<Device[]>;
  /** Every phone that is attached, too. */
  all(): Promise<Device[]>;
  /** Id of the release that the last build left of a service: what a deploy brings. */
  built(service: FoundService): Promise<string>;
}

/** What every command is given. */
export interface Session {
  /** The checkout. */
  root: string;
  flags: Flags;
  streams: Streams;
  devices: DeviceAccess;
  /** Every service of the workspace. */
  services: readonly FoundService[];
  /** The ones that were chosen; for a command that takes one service, exactly one. */
  chosen: readonly FoundService[];
  /** Whether the command line names services; otherwise the choice is the command's own. */
  named: boolean;
  /** Words behind the services: a secret's name, or what stands behind `--`. */
  words: readonly string[];
  /** Flags of this command alone, by commander's name for them. */
  own: Readonly<Record<string, unknown>>;
  /** Aborted by Ctrl-C and by SIGTERM. */
  signal: AbortSignal;
}

/** What a command found or did: for scripts, for people, and as an exit status. */
export interface Result {
  json: unknown;
  /** Lines for standard output; undefined where the command wrote them as they came. */
  text?: string;
  exit?: number;
}

export type Run = (session: Session) => Promise<Result>;
