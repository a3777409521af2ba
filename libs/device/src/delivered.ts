import { argon2Sync, createHash } from 'node:crypto';
import type { ServiceDefinition } from '@sovereign/service';

/** OWASP's choice for argon2id, which Vaultwarden's own `hash --preset owasp` takes too; memory in KiB. */
const COST = { memory: 19_456, passes: 2, parallelism: 1, tagLength: 32 };

/** The secrets of a service in the form in which its guest gets them. The same secrets always give the same bytes. */
export function deliveredSecrets(
  { secrets }: Pick<ServiceDefinition, 'secrets'>,
  values: Readonly<Record<string, string>>,
): Record<string, string> {
  const hashed = new Set(secrets.filter(({ deliver }) => deliver === 'argon2id').map(({ name }) => name));
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, hashed.has(name) ? argon2id(value) : value]),
  );
}

/** True for what a guest got in the place of a secret: the secret itself cannot be had of it. */
export const isHash = (delivered: string): boolean => delivered.startsWith('$argon2id$');

/**
 * PHC string, https://github.com/P-H-C/phc-string-format. The salt is made of the secret, so that a config disk does
 * not change by itself; a secret of ours is random, so no two have the same.
 */
export function argon2id(secret: string): string {
  const nonce = createHash('sha256').update(`sovereign argon2id salt\0${secret}`).digest().subarray(0, 16);
  const tag = argon2Sync('argon2id', { message: secret, nonce, ...COST });
  const text = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');
  const { memory, passes, parallelism } = COST;
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${text(nonce)}$${text(tag)}`;
}
