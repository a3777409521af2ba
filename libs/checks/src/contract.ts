import type { ServiceDefinition } from '@sovereign/service';

/** What a command in the guest left. */
export interface GuestResult {
  status: number;
  stdout: string;
  stderr: string;
}

/** The running guest, as far as checks need it. */
export interface Guest {
  /** Runs a command as root. Rejects where the guest is not reached. */
  exec(argv: readonly string[]): Promise<GuestResult>;
}

/** One answer of the database, as rows of text. */
export type Rows = Record<string, unknown>[];

/** The service's database, from the workstation through the published port. */
export interface Database {
  /** Runs one statement over a connection of its own. */
  query(sql: string, values?: readonly string[]): Promise<Rows>;
}

/** Everything that the checks of one run share. */
export interface CheckContext {
  definition: ServiceDefinition;
  guest: Guest;
  database: Database;
  /** Address of a published port, for the workstation. Rejects where there is none. */
  endpoint: (port: string) => Promise<URL>;
  /** Values of a secret that the guest may have, the newest first: more than one while a change is not done. */
  secrets: (name: string) => Promise<string[]>;
  /** What the owner decided, else the default. */
  setting: (name: string) => Promise<string>;
  /** Stops the service, starts it and waits until it is healthy. */
  restart: () => Promise<void>;
  /** Addresses of a name, asked of the workstation's own name server. Rejects where it knows none. */
  resolve: (name: string) => Promise<string[]>;
  /** Names for the look-up from the guest, in the order to try. */
  lookupNames: readonly string[];
}

export interface Outcome {
  result: 'pass' | 'fail' | 'skip';
  /** What was seen; for a failure, what was expected instead. */
  detail: string;
}

/** One line of `sovereign test` (docs/interface.md, `test --json`). */
export interface CheckResult extends Outcome {
  /** Dotted, for example `kernel.sysvipc`. */
  name: string;
  ms: number;
}

export interface Check {
  name: string;
  /** What throws has failed: unknown is never a pass. */
  run(context: CheckContext): Promise<Outcome>;
}

export const pass = (detail: string): Outcome => ({ result: 'pass', detail });
export const fail = (detail: string): Outcome => ({ result: 'fail', detail });
export const skip = (detail: string): Outcome => ({ result: 'skip', detail });
