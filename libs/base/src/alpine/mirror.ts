import { SovereignError } from '@sovereign/report';
import { guestArch } from '../contract.ts';
import { escapePath } from '../fetch.ts';

/** The branch that images are made of. */
export const BRANCH = 'v3.24';

/** The parts of the branch, in the order in which apk would prefer them. */
export const archives = ['main', 'community'] as const;

const DEFAULT = 'https://dl-cdn.alpinelinux.org/alpine';

/**
 * Where Alpine's packages are: SOVEREIGN_ALPINE_MIRROR, the address of the folder that holds the branches, else
 * Alpine's own. Without a slash at its end.
 */
export function alpineMirror(env: NodeJS.ProcessEnv = process.env): string {
  const named = env.SOVEREIGN_ALPINE_MIRROR;
  if (named === undefined || named === '') return DEFAULT;
  const address = named.replace(/\/+$/, '');
  if (/^https?:\/\/\S+$/.test(address)) return address;
  throw new SovereignError({
    code: 'bad-setting',
    what: 'an Alpine mirror is named by an http or https address',
    on: named,
    hint: `Name the address of the folder that holds ${BRANCH}/ in SOVEREIGN_ALPINE_MIRROR`,
  });
}

/** Address of a file of an archive. */
export const addressOf = (mirror: string, archive: string, path: string): string =>
  `${mirror}/${BRANCH}/${archive}/${escapePath(path)}`;

/** Address of an index that every mirror of the branch has, to see whether one is reached. */
export const alpineIndex = (): string =>
  addressOf(alpineMirror(), archives[0], `${guestArch.alpine}/APKINDEX.tar.gz`);
