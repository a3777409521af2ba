import { SovereignError } from '@sovereign/report';
import { releaseId, type Release, type ServiceDefinition } from '@sovereign/service';
import { canonicalJson } from '@sovereign/store';

/** Seconds that a guest has to stop when the device itself goes down. */
const STOP_SECONDS = 60;
/** Starts in a row that never became healthy before the launcher gives up. */
const RESTARTS = 5;
/** Size at which a log is copied and emptied, in bytes. */
const LOG_LIMIT = 1_000_000;

/** The files of a slot, by name (docs/formats.md, "Release"). */
export type SlotFiles = Record<string, string>;

interface PlanInput {
  definition: ServiceDefinition;
  release: Release;
  /** The VMM's command lines, in the order to try. */
  variants: readonly (readonly string[])[];
  /** Path of a stored file on the device, by digest. */
  stored: (sha256: string) => string;
}

/** Everything that the launcher reads to run a release: no quoting and no eval is needed to follow it. Pure. */
export function slotFiles({ definition, release, variants, stored }: PlanInput): SlotFiles {
  const launch: [key: string, value: string | number][] = [
    ['schema', 1],
    ['service', definition.name],
    ['release', releaseId(release)],
    ['deadline', definition.health.deadline],
    ['stop', STOP_SECONDS],
    ['restarts', RESTARTS],
    ['log-limit', LOG_LIMIT],
    ['need', 'data.img'],
    ['need', 'config.img'],
    ['file', `${release.kernel.sha256} ${stored(release.kernel.sha256)}`],
    ['file', `${release.root.sha256} ${stored(release.root.sha256)}`],
  ];
  return {
    'release.json': canonicalJson(release),
    launch: oneALine(launch.map(([key, value]) => `${key} ${value}`)),
    ...Object.fromEntries(variants.map((argv, index) => [`argv.${index + 1}`, oneALine(argv)])),
  };
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
