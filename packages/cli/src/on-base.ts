import { note, SovereignError } from '@sovereign/report';
import type { Base, FoundService } from '@sovereign/service';
import { chooseBase, recordedBase } from './base.ts';
import { wordOf } from './services.ts';
import type { Session } from './session.ts';

/** Those of the services that the base of this checkout has: the others are named, and an error where they were meant. */
export async function servicesOnBase(
  { root, flags }: Session,
  services: readonly FoundService[],
): Promise<readonly FoundService[]> {
  // A choice is asked for where it is first needed.
  if (services.every(({ definition }) => Object.keys(definition.bases).length > 1)) return services;
  // A dry run makes no choice.
  const base =
    flags.dryRun === true
      ? (flags.base ?? (await recordedBase(root)))
      : await chooseBase({ root, wanted: flags.base, ask: undefined });
  if (base === undefined) return services;
  const lacking = services.filter(({ definition }) => definition.bases[base] === undefined);
  if (lacking.length === 0) return services;
  if (flags.all !== true || lacking.length === services.length) throw unavailable(base, lacking);
  note(`left out, since ${base} has no package of it: ${lacking.map(wordOf).join(', ')}`);
  return services.filter((service) => !lacking.includes(service));
}

const unavailable = (base: Base, services: readonly FoundService[]): SovereignError =>
  new SovereignError({
    code: 'base-unavailable',
    what: `${base} has no package of it`,
    on: services.map(wordOf).join(', '),
    hint: 'Use another base: --base alpine for one run, or SOVEREIGN_BASE in .env.local',
    exit: 2,
  });
