import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { SovereignError } from '@sovereign/report';

export type Right = 'read' | 'write';

/** Who asks. `write` includes `read`. */
export interface Holder {
  name: string;
  right: Right;
}

/** Gives the holder of a token; undefined where nobody holds it. */
export type Tokens = (token: string | undefined) => Holder | undefined;

/** Shorter ones can be guessed. */
const SHORTEST = 32;

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** `RIGHT NAME TOKEN` a line; empty lines and those that begin with `#` say nothing. */
export function parseTokens(text: string, path: string): Tokens {
  const holders = text.split('\n').flatMap((line, index) => {
    if (/^\s*(#|$)/.test(line)) return [];
    const [right = '', name = '', token = '', ...rest] = line.trim().split(/\s+/);
    const fault =
      right !== 'read' && right !== 'write'
        ? 'it does not begin with read or write'
        : token === '' || rest.length > 0
          ? 'it is not RIGHT NAME TOKEN'
          : token.length < SHORTEST
            ? `its token is shorter than ${SHORTEST} characters`
            : undefined;
    if (fault !== undefined) throw badTokens(`line ${index + 1} says no token: ${fault}`, path);
    return [{ name, right: right as Right, digest: digest(token) }];
  });
  if (holders.length === 0) throw badTokens('it holds no token', path);
  if (new Set(holders.map((holder) => holder.digest.toString('hex'))).size < holders.length) {
    throw badTokens('it holds a token twice', path);
  }
  return (token) => {
    const given = digest(token ?? '');
    // Every one is compared, over digests of one length: the time tells nothing of the token.
    return holders.reduce<Holder | undefined>(
      (found, { name, right, digest: known }) => (timingSafeEqual(given, known) ? { name, right } : found),
      undefined,
    );
  };
}

export async function readTokens(path: string): Promise<Tokens> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw badTokens(`it cannot be read: ${(cause as Error).message}`, path);
  });
  if (((await stat(path)).mode & 0o007) !== 0)
    throw badTokens('every user of this machine can read it', path);
  return parseTokens(text, path);
}

const badTokens = (what: string, path: string): SovereignError =>
  new SovereignError({
    code: 'bad-tokens',
    what: `the file of tokens cannot be used: ${what}`,
    on: path,
    hint: 'A line is "read NAME TOKEN" or "write NAME TOKEN", the file has mode 0600, and `openssl rand -hex 32` makes a token',
  });
