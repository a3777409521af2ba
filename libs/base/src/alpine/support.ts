/** Until when a branch is promised fixes. */
interface Support {
  /** Last day for `main`, which Alpine names with the release: https://alpinelinux.org/releases/ */
  main: string;
  /**
   * Last day for `community`: it is looked after until the next branch comes out, which is about six months after its
   * own release (https://wiki.alpinelinux.org/wiki/Repositories). Set to the very day when that is known.
   */
  community: string;
}

const support: Readonly<Record<string, Support>> = {
  'v3.24': { main: '2028-06-01', community: '2026-12-09' },
};

/**
 * What to tell of a branch whose support is over, by the archives that packages come from; undefined where all is
 * well.
 */
export function supportWarning(
  branch: string,
  packages: readonly { name: string; archive: string }[],
  now = new Date(),
): string | undefined {
  const day = now.toISOString().slice(0, 10);
  const ends = support[branch];
  if (ends === undefined) return `it is not known until when Alpine ${branch} gets fixes`;
  if (day > ends.main) return `Alpine ${branch} gets no fixes since ${ends.main}`;
  const community = packages.filter(({ archive }) => archive === 'community').map(({ name }) => name);
  if (day <= ends.community || community.length === 0) return undefined;
  return `the community archive of Alpine ${branch} is promised no fixes since ${ends.community}; from it are: ${community.join(', ')}`;
}
