import { SovereignError } from '@sovereign/report';
import type { Account, Group } from './rules.ts';
import type { OwnerIds, Tree } from './tree.ts';

/** passwd(5), group(5) and shadow(5) for the accounts of an image; no account has a password. */
export function addAccounts(tree: Tree, accounts: readonly Account[], groups: readonly Group[]): void {
  const sorted = accounts.toSorted((a, b) => a.uid - b.uid);
  refuseDuplicates(sorted.map(({ name }) => name));
  refuseDuplicates(sorted.map(({ uid }) => String(uid)));
  const own: Group[] = sorted.map(({ name, gid }) => ({ name, gid }));
  const all = [...own, ...groups.filter(({ gid }) => !own.some((group) => group.gid === gid))];
  all.sort((a, b) => a.gid - b.gid);
  refuseDuplicates(all.map(({ name }) => name));

  const lines = <T>(items: readonly T[], line: (item: T) => string) =>
    items.map((item) => `${line(item)}\n`).join('');
  tree.file(
    'etc/passwd',
    lines(sorted, ({ name, uid, gid, home, shell }) => `${name}:x:${uid}:${gid}:${name}:${home}:${shell}`),
  );
  tree.file(
    'etc/group',
    lines(all, ({ name, gid, members = [] }) => `${name}:x:${gid}:${members.join(',')}`),
  );
  tree.file(
    'etc/shadow',
    lines(sorted, ({ name }) => `${name}:*:::::::`),
    { mode: 0o600 },
  );
}

/** The numbers that the names of accounts and groups stand for. */
export const ownerIds = (accounts: readonly Account[], groups: readonly Group[]): OwnerIds => ({
  users: new Map(accounts.map(({ name, uid }) => [name, uid])),
  groups: new Map([...groups, ...accounts].map(({ name, gid }) => [name, gid])),
});

function refuseDuplicates(values: readonly string[]): void {
  const twice = values.find((value, index) => values.indexOf(value) !== index);
  if (twice === undefined) return;
  throw new SovereignError({
    code: 'duplicate-account',
    what: 'two accounts or groups of the image share a name or an id',
    on: twice,
    hint: 'Check the accounts of the service definition against those of every guest',
  });
}
