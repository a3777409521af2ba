import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { badPackage } from './bad-package.ts';

/** A file `.SIGN.ALGORITHM.KEY` of a signature member: RSA with PKCS #1 v1.5 padding. */
export interface Signature {
  algorithm: string;
  /** File name of the key. */
  key: string;
  value: Buffer;
}

/** Trusted keys by file name. */
export type TrustedKeys = ReadonlyMap<string, KeyObject>;

/** Digest by algorithm (apk-tools, src/crypto.c); DSA has been given up. */
const digests: Readonly<Record<string, string>> = { RSA: 'sha1', RSA256: 'sha256', RSA512: 'sha512' };

/** Alpine's keys for arm64, pinned in this repository. */
const pinned = join(import.meta.dirname, '../../keys');

/** The folder of the keys to trust: SOVEREIGN_ALPINE_KEYS in place of Alpine's own, never beside them. */
export function keysFolder(env: NodeJS.ProcessEnv = process.env): string {
  const named = env.SOVEREIGN_ALPINE_KEYS;
  return named === undefined || named === '' ? pinned : named;
}

/**
 * Reads every `*.rsa.pub` of a folder.
 * @throws SovereignError `no-keys` where there is none, or one is no public key
 */
export async function readKeys(folder: string): Promise<TrustedKeys> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.rsa.pub')).sort();
  if (names.length === 0) throw noKeys('it holds no key (NAME.rsa.pub)', folder);
  const read = async (name: string) => {
    try {
      return [name, createPublicKey(await readFile(join(folder, name)))] as const;
    } catch (error) {
      throw noKeys('this is no public key', join(folder, name), error);
    }
  };
  return new Map(await Promise.all(names.map(read)));
}

/**
 * Checks that a trusted key vouches for these bytes; one is enough.
 * @param name what was signed, for messages
 * @throws SovereignError `bad-package` for no signature, one by an unknown key alone, or a wrong one
 */
export function checkSignature(
  { signatures, signed }: { signatures: readonly Signature[]; signed: Buffer },
  keys: TrustedKeys,
  name: string,
): void {
  if (signatures.length === 0) throw badPackage(name, 'it carries no signature');
  const known = signatures.filter(({ key, algorithm }) => keys.has(key) && algorithm in digests);
  if (known.length === 0) {
    const by = signatures.map(({ key, algorithm }) => `${key} (${algorithm})`).join(', ');
    throw badPackage(name, `it is signed by no key that is trusted, but by ${by}`);
  }
  const good = known.some(({ algorithm, key, value }) => {
    const publicKey = keys.get(key);
    return publicKey !== undefined && verify(digests[algorithm], signed, publicKey, value);
  });
  if (!good) throw badPackage(name, 'its signature is wrong');
}

const noKeys = (what: string, on: string, cause?: unknown): SovereignError =>
  new SovereignError({
    code: 'no-keys',
    what: `the keys that Alpine packages are checked with cannot be read: ${what}`,
    on,
    hint: 'Restore libs/base/keys from the repository, or correct SOVEREIGN_ALPINE_KEYS',
    cause,
  });
