import { SovereignError } from '@sovereign/report';
import { z } from 'zod';
import type { Advisories, Advisory } from './advisory.ts';
import type { Source } from './document.ts';

const SETTING = 'SOVEREIGN_ALPINE_SECDB';
const repositories = ['main', 'community'] as const;

/** Alpine's security database: what was fixed in which version, one document a repository of the branch. */
export function alpineSources(release: string, env: NodeJS.ProcessEnv = process.env): Source[] {
  const set = env[SETTING];
  const folder = set === undefined || set === '' ? 'https://secdb.alpinelinux.org' : set.replace(/\/+$/, '');
  return repositories.map((repository) => ({
    name: `Alpine's security database (${repository})`,
    url: `${folder}/${release}/${repository}.json`,
    setting: SETTING,
  }));
}

const schema = z.object({ packages: z.array(z.unknown()) });
/** Only of the packages that are asked for: an odd entry of another one is not ours to stop at. */
const nameSchema = z.object({ pkg: z.object({ name: z.string() }) });
const fixesSchema = z.object({ pkg: z.object({ secfixes: z.record(z.string(), z.array(z.string())) }) });

/**
 * What was fixed in these source packages. It knows no weakness that has no fix yet. Version `0` means that the
 * package never had it.
 * @throws SovereignError `bad-advisories`
 */
export function alpineAdvisories(documents: readonly unknown[], origins: Iterable<string>): Advisories {
  const wanted = new Set(origins);
  const found = new Map<string, Advisory[]>();
  for (const document of documents) {
    const parsed = schema.safeParse(document);
    if (!parsed.success) throw unreadable();
    for (const entry of parsed.data.packages) {
      const name = nameSchema.safeParse(entry).data?.pkg.name;
      if (name === undefined || !wanted.has(name)) continue;
      const fixes = fixesSchema.safeParse(entry);
      if (!fixes.success) throw unreadable(name);
      const advisories = Object.entries(fixes.data.pkg.secfixes)
        .filter(([fixed]) => fixed !== '0')
        // One entry may hold several names of the same weakness, with blanks between them.
        .flatMap(([fixed, ids]) => ids.map((id) => ({ id: id.split(' ')[0] ?? id, fixed })));
      found.set(name, [...(found.get(name) ?? []), ...advisories]);
    }
  }
  return found;
}

const unreadable = (name?: string) =>
  new SovereignError({
    code: 'bad-advisories',
    what: `Alpine's security data${name === undefined ? '' : ` of ${name}`} cannot be read: it is of another form`,
    hint: `Check ${SETTING} where it is set; else report this`,
  });
