import { SovereignError } from '@sovereign/report';
import {
  dataFormat,
  guestAddress,
  releaseId,
  type Release,
  type ServiceDefinition,
} from '@sovereign/service';
import { canonicalJson } from '@sovereign/store';
import type { VmmCommand } from './host.ts';
import type { Forward, MachineNetwork, NetworkMode } from './network/guest.ts';

/** Seconds that a guest has to stop when the device itself goes down. */
const STOP_SECONDS = 60;
/** Starts in a row that never became healthy before the launcher gives up. */
const RESTARTS = 5;
/** Size at which a log is copied and emptied, in bytes. */
const LOG_LIMIT = 1_000_000;

/** crosvm's exit status for arguments that it does not know (its `--extended-status`). */
const REFUSED = 35;

/** The files of a slot, by name (docs/formats.md, "Release"). */
export type SlotFiles = Record<string, string>;

interface PlanInput {
  definition: ServiceDefinition;
  release: Release;
  command: VmmCommand;
  network: MachineNetwork;
  /** Published ports. */
  forwards: readonly Forward[];
  /** Path of a stored file on the device, by digest. */
  stored: (sha256: string) => string;
}

/** Everything that the launcher reads to run a release: no quoting and no eval is needed to follow it. Pure. */
export function slotFiles(input: PlanInput): SlotFiles {
  const { definition, release, command, stored } = input;
  const launch: LaunchLine[] = [
    ['schema', 1],
    ['service', definition.name],
    ['release', releaseId(release)],
    ['deadline', definition.health.deadline],
    ['stop', STOP_SECONDS],
    ['restarts', RESTARTS],
    ['log-limit', LOG_LIMIT],
    ['format', dataFormat(definition, release)],
    ...vmmLines(command),
    ...networkLines(input),
    ['need', 'data.img'],
    ['need', 'config.img'],
    ['file', `${release.kernel.sha256} ${stored(release.kernel.sha256)}`],
    ['file', `${release.root.sha256} ${stored(release.root.sha256)}`],
  ];
  return {
    'release.json': canonicalJson(release),
    launch: oneALine(launch.map(([key, value]) => `${key} ${value}`)),
    ...Object.fromEntries(command.variants.map(({ argv }, index) => [`argv.${index + 1}`, oneALine(argv)])),
  };
}

type LaunchLine = [key: string, value: string | number];

/** A VMM whose channel is its standard input and output, with one way to call it, needs none of these lines. */
function vmmLines({ variants, control, extendedExit }: VmmCommand): LaunchLine[] {
  return [
    ...(control === 'stdio' ? [] : [['control', control] as LaunchLine]),
    ...(extendedExit
      ? ([
          ['extended-exit', 'yes'],
          ['variant-exit', REFUSED],
        ] as LaunchLine[])
      : []),
    ...(variants.length > 1
      ? variants.map(({ cpus }, index): LaunchLine => ['variant', `${index + 1} ${cpus}`])
      : []),
  ];
}

/** Where QEMU publishes the ports, the launcher has nothing to do. */
function networkLines({ definition, network, forwards }: PlanInput): LaunchLine[] {
  if (network.mode === 'user') return [];
  return [
    ['address', guestAddress(definition)],
    ...forwards.map(({ host, guest }): LaunchLine => ['publish', `${host} ${guest}`]),
    ...(network.mode === 'tap'
      ? ([
          ['tap', network.name],
          ['mac', network.mac],
        ] as LaunchLine[])
      : []),
  ];
}

/** The network that a slot was made for, by its launch plan: {@link networkLines} read back. */
export function plannedNetwork(launch: string): NetworkMode {
  if (/^tap /m.test(launch)) return 'tap';
  return /^address /m.test(launch) ? 'vsock' : 'user';
}

function oneALine(values: readonly string[]): string {
  const broken = values.find((value) => value.includes('\n'));
  if (broken !== undefined) {
    throw new SovereignError({
      code: 'bad-path',
      what: 'a path with a line break cannot be used',
      on: JSON.stringify(broken),
      hint: 'Move the folder, or set XDG_DATA_HOME to another one',
    });
  }
  return values.map((value) => `${value}\n`).join('');
}
