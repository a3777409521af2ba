import { SovereignError } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import { closest, distance } from 'fastest-levenshtein';

/** Words that users know a service by, besides its name and its project. */
const alsoCalled: Record<string, string[]> = { vaultwarden: ['vault'], forgejo: ['forge'] };

/** Every word that names this service on the command line; the first one is what we print. */
export const namesOf = ({ definition, project }: FoundService): string[] => [
  ...new Set([...(alsoCalled[definition.name] ?? []), definition.name, project]),
];

/** The word that we call a service by. */
export const wordOf = (service: FoundService): string => namesOf(service)[0] ?? service.definition.name;

export interface Choice {
  /** Words of the command line that have to name services. */
  words: readonly string[];
  /** Services that were named by a flag of their own. */
  flagged: readonly FoundService[];
  all: boolean;
  /** What naming none means: every service, or an error unless there is only one. */
  none: 'all' | 'only';
}

/**
 * The services that a command line means, in the order of the workspace, each once.
 * @throws SovereignError with exit 2 for a word that names none, and where the choice is the user's to make
 */
export function chooseServices(services: readonly FoundService[], choice: Choice): FoundService[] {
  const chosen = new Set([...choice.flagged, ...choice.words.map((word) => findService(services, word))]);
  if (choice.all) return [...services];
  if (chosen.size > 0) return services.filter((service) => chosen.has(service));
  if (choice.none === 'all' || services.length === 1) return [...services];
  throw new SovereignError({
    code: 'which-service',
    what: services.length === 0 ? 'this workspace has no service' : 'say which service is meant',
    on: services.map(wordOf).join(', '),
    hint: `Name one or more of them, or --all`,
    exit: 2,
  });
}

export function findService(services: readonly FoundService[], word: string): FoundService {
  const found = services.find((service) => namesOf(service).includes(word));
  if (found !== undefined) return found;
  const near = nearest(word, services.flatMap(namesOf));
  throw new SovereignError({
    code: 'unknown-service',
    what: 'there is no such service',
    on: word,
    hint: near === undefined ? `Services: ${services.map(wordOf).join(', ')}` : `Did you mean ${near}?`,
    exit: 2,
  });
}

/** The candidate that a typo may have meant: at most two edits away, or a third of its letters. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  if (candidates.length === 0) return undefined;
  const best = closest(word, candidates);
  return distance(word, best) <= Math.max(2, Math.floor(best.length / 3)) ? best : undefined;
}
