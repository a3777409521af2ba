import { bases, type Base } from '@sovereign/service';
import { toolWays, type ToolWay } from '@sovereign/tools/setting';
import { InvalidArgumentError, Option } from 'commander';

/** Flags that more than one command takes; what a command does not list, it refuses. */
export const flags = {
  serial: () =>
    new Option(
      '-s, --serial <serial>',
      'the device: a serial, or "local" for this machine (default: ANDROID_SERIAL)',
    ),
  base: () =>
    new Option('--base <base>', 'make the images of this distribution, for this run').choices(bases),
  tools: () =>
    new Option(
      '--tools <way>',
      'run the build tools in the tool root or a Docker container, for this run',
    ).choices(toolWays),
  affected: () => new Option('--affected', 'the services that a change since --since reaches'),
  since: () =>
    new Option('--since <ref>', 'commit to compare with (default: main)').implies({ affected: true }),
  locked: () => new Option('--locked', 'a stale lock is an error, not a reason to refresh it'),
  dryRun: () => new Option('--dry-run', 'say what would be done, and do nothing'),
  timeout: () => new Option('--timeout <seconds>', 'longest wait, in seconds').argParser(wholeSeconds),
} satisfies Record<string, () => Option>;

export type FlagName = keyof typeof flags;

/** Flags of every command. */
export const commonFlags = [
  () => new Option('-y, --yes', 'answer every question with yes'),
  () => new Option('--json', 'one JSON document on standard output'),
  () => new Option('--quiet', 'no progress'),
  () => new Option('--verbose', 'everything that the tools print, and where an error came from'),
  () => new Option('--no-install', 'install nothing on this machine; say what is missing instead'),
];

/** What the command line said, with every value checked. */
export interface Flags {
  json: boolean;
  quiet: boolean;
  verbose: boolean;
  install: boolean;
  serial?: string;
  base?: Base;
  tools?: ToolWay;
  affected?: boolean;
  since?: string;
  locked?: boolean;
  yes?: boolean;
  dryRun?: boolean;
  /** Every service is meant. */
  all?: boolean;
  /** Seconds. */
  timeout?: number;
}

function wholeSeconds(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('A whole number of seconds is wanted.');
  return Number(text);
}
