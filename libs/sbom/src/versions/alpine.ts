import { compareNumbers } from './debian.ts';

/** What stands at a place of a version; the later in this list, the newer where two differ in kind. */
const kinds = ['number', 'letter', 'suffix', 'suffix number', 'hash', 'revision', 'end'] as const;
interface Token {
  kind: (typeof kinds)[number];
  text: string;
  /** Of a number: whether another one stands before it. */
  later?: boolean;
}

/** Those before the nameless one come before a release. */
const suffixes = ['alpha', 'beta', 'pre', 'rc', '', 'cvs', 'svn', 'git', 'hg', 'p'];

/**
 * Compares two versions as apk does: negative where `a` is older; undefined where one of them is no version.
 * @see https://gitlab.alpinelinux.org/alpine/apk-tools/-/blob/master/doc/apk-package.5.scd
 */
export function compareAlpine(a: string, b: string): number | undefined {
  const [left, right] = [tokens(a), tokens(b)];
  if (left === undefined || right === undefined) return undefined;
  for (let at = 0; ; at++) {
    const [one, other] = [left[at] ?? end, right[at] ?? end];
    const order = one.kind === other.kind ? compareTokens(one, other) : compareKinds(one, other);
    if (order !== 0 || one.kind === 'end') return order;
  }
}

const end: Token = { kind: 'end', text: '' };

function tokens(version: string): Token[] | undefined {
  const match =
    /^(?<numbers>\d+(?:\.\d+)*)(?<letter>[a-z])?(?<suffixes>(?:_[a-z]+\d*)*)(?:~(?<hash>[0-9a-f]+))?(?:-r(?<revision>\d+))?$/.exec(
      version,
    )?.groups;
  if (match === undefined) return undefined;
  const found: Token[] = (match.numbers ?? '')
    .split('.')
    .map((text, index) => ({ kind: 'number', text, later: index > 0 }));
  if (match.letter !== undefined) found.push({ kind: 'letter', text: match.letter });
  for (const [, name = '', number = ''] of (match.suffixes ?? '').matchAll(/_([a-z]+)(\d*)/g)) {
    if (!suffixes.includes(name)) return undefined;
    found.push({ kind: 'suffix', text: name });
    if (number !== '') found.push({ kind: 'suffix number', text: number });
  }
  if (match.hash !== undefined) found.push({ kind: 'hash', text: match.hash });
  if (match.revision !== undefined) found.push({ kind: 'revision', text: match.revision });
  return found;
}

function compareTokens(one: Token, other: Token): number {
  const plain = one.text < other.text ? -1 : Number(one.text > other.text);
  switch (one.kind) {
    case 'number':
      // As in a fraction: 1.02 is before 1.1.
      if (one.later === true && (one.text.startsWith('0') || other.text.startsWith('0'))) return plain;
      return compareNumbers(one.text, other.text);
    case 'suffix number':
    case 'revision':
      return compareNumbers(one.text, other.text);
    case 'suffix':
      return suffixes.indexOf(one.text) - suffixes.indexOf(other.text);
    default:
      return plain;
  }
}

function compareKinds(one: Token, other: Token): number {
  const early = ({ kind, text }: Token) => kind === 'suffix' && suffixes.indexOf(text) < suffixes.indexOf('');
  if (early(one)) return -1;
  if (early(other)) return 1;
  return kinds.indexOf(other.kind) - kinds.indexOf(one.kind);
}
