import { SovereignError } from '@sovereign/report';
import { z } from 'zod';
import type { Advisories, Advisory } from './advisory.ts';
import type { Source } from './document.ts';

const SETTING = 'SOVEREIGN_DEBIAN_SECURITY';

/** Debian's security tracker, all of it as JSON. */
export function debianSource(env: NodeJS.ProcessEnv = process.env): Source {
  const set = env[SETTING];
  return {
    name: "Debian's security tracker",
    url: set === undefined || set === '' ? 'https://security-tracker.debian.org/tracker/data/json' : set,
    setting: SETTING,
  };
}

const issueSchema = z.object({
  description: z.string().optional(),
  releases: z.record(
    z.string(),
    z.object({
      status: z.string(),
      fixed_version: z.string().optional(),
      urgency: z.string().optional(),
    }),
  ),
});
const packageSchema = z.record(z.string(), issueSchema);

/**
 * What the tracker says of these source packages in one release. `0` as the fixed version means that the release
 * never had it.
 * @throws SovereignError `bad-advisories`
 */
export function debianAdvisories(data: unknown, release: string, origins: Iterable<string>): Advisories {
  const all = z.record(z.string(), z.unknown()).safeParse(data);
  if (!all.success) throw unreadable('it is no object of packages');
  const found = new Map<string, Advisory[]>();
  for (const origin of new Set(origins)) {
    const entry = all.data[origin];
    if (entry === undefined) continue;
    const parsed = packageSchema.safeParse(entry);
    if (!parsed.success) throw unreadable(`its entry of ${origin} is of another form`);
    const advisories = Object.entries(parsed.data).flatMap(([id, { description, releases }]) => {
      const here = releases[release];
      if (here === undefined || here.fixed_version === '0') return [];
      const { fixed_version: fixed, urgency } = here;
      return [
        {
          id,
          ...(here.status === 'resolved' && fixed !== undefined ? { fixed } : {}),
          ...(urgency === undefined ? {} : { urgency }),
          ...(description === undefined ? {} : { description }),
        },
      ];
    });
    found.set(origin, advisories);
  }
  return found;
}

const unreadable = (why: string) =>
  new SovereignError({
    code: 'bad-advisories',
    what: `Debian's security data cannot be read: ${why}`,
    on: debianSource().url,
    hint: `Check ${SETTING} where it is set; else report this`,
  });
