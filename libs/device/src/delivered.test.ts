import { argon2Sync } from 'node:crypto';
import { expect, test } from 'vitest';
import { argon2id, deliveredSecrets, isHash } from './delivered.ts';

const secret = (name: string, deliver: 'plain' | 'argon2id') => ({
  name,
  deliver,
  make: 'password' as const,
  description: 'for tests',
});

test('a guest that needs a hash alone gets no more, and the same one each time', () => {
  const definition = { secrets: [secret('token', 'argon2id'), secret('password', 'plain')] };
  const values = { token: 'a secret', password: 'another' };
  const delivered = deliveredSecrets(definition, values);
  expect(delivered.password).toBe('another');
  expect(delivered.token).not.toContain('a secret');
  expect(isHash(delivered.token ?? '')).toBe(true);
  expect(deliveredSecrets(definition, values)).toEqual(delivered);
});

test('the hash is a PHC string that the secret, and no other, gives again', () => {
  const [, m = '', t = '', p = '', salt = '', tag = ''] =
    /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/.exec(
      argon2id('a secret'),
    ) ?? [];
  const again = (message: string) =>
    argon2Sync('argon2id', {
      message,
      nonce: Buffer.from(salt, 'base64'),
      ...{ memory: Number(m), passes: Number(t), parallelism: Number(p), tagLength: 32 },
    }).equals(Buffer.from(tag, 'base64'));
  expect(again('a secret')).toBe(true);
  expect(again('another')).toBe(false);
});
