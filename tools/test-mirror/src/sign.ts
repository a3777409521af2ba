import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { cutTar, makeTar } from './tar.ts';

const compress = promisify(gzip);

/** What signs packages and indices; made at run time, never kept in the repository. */
export interface SigningKey {
  /** File name of the public half, as signatures name it and a machine's key folder holds it. */
  name: string;
  privateKey: KeyObject;
  /** The public half, PEM (SubjectPublicKeyInfo). */
  publicPem: string;
}

export function makeKey(): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const id = createHash('sha256').update(publicPem).digest('hex').slice(0, 8);
  return { name: `sovereign-test-mirror-${id}.rsa.pub`, privateKey, publicPem };
}

/**
 * The first gzip member of a package or an index (apk-v2(5)): a tar without its end that holds the PKCS#1 v1.5
 * signature of the compressed bytes that follow, with SHA-1 as Alpine's own builders do.
 */
export async function signatureMember(signed: Buffer, key: SigningKey): Promise<Buffer> {
  const content = sign('RSA-SHA1', signed, key.privateKey);
  return compress(
    cutTar(await makeTar([{ path: `.SIGN.RSA.${key.name}`, type: 'file', mode: 0o644, content }])),
  );
}
