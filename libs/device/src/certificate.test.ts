import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkCertificate } from './certificate.ts';
import { checkSecret } from './secrets.ts';

const folder = mkdtempSync(join(tmpdir(), 'sovereign-certificate-'));
const openssl = (line: string) => execFileSync('openssl', line.split(' '), { cwd: folder, stdio: 'pipe' });
const file = (name: string) => readFileSync(join(folder, name), 'utf8');
const fresh = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';
let given: string;

beforeAll(() => {
  openssl(`req -x509 ${fresh} -keyout ca.key -out ca.pem -days 3 -subj /CN=authority`);
  openssl(`req ${fresh} -keyout leaf.key -out leaf.csr -subj /CN=vault.example.org`);
  openssl('x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out leaf.pem -days 2');
  openssl('pkey -in leaf.key -aes256 -passout pass:x -out locked.key');
  openssl('ec -in leaf.key -aes256 -passout pass:x -out locked-old.key');
  given = file('leaf.pem') + file('ca.pem') + file('leaf.key');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const check = (text: string, now?: number) => checkCertificate('certificate', text, now);

test('chain and key are taken, in whatever order, and nothing else of the file', () => {
  const clean = given.trim();
  expect(check(given)).toBe(clean);
  expect(check(`notes\r\n${file('leaf.key')}\n${file('leaf.pem')}more\n${file('ca.pem')}`)).toBe(clean);
  expect(check(given.replaceAll('\n', '\r\n'))).toBe(clean);
});

test.each([
  ['nothing', () => '', /there is no certificate/],
  ['no key', () => file('leaf.pem'), /the key is not in it/],
  ['two keys', () => given + file('ca.key'), /more than one key/],
  ['the key of another', () => file('leaf.pem') + file('ca.key'), /not the one of the first certificate/],
  ['a key with a passphrase', () => file('leaf.pem') + file('locked.key'), /has a passphrase/],
  [
    'an old key with a passphrase',
    () => file('leaf.pem') + file('locked-old.key'),
    /has a passphrase|cannot be read/,
  ],
  [
    'the signer first',
    () => file('ca.pem') + file('leaf.pem') + file('leaf.key'),
    /not the one of the first/,
  ],
  ['a stranger in the chain', () => file('leaf.pem') + file('leaf.pem') + file('leaf.key'), /2 did not sign/],
  ['a damaged certificate', () => given.replace('MII', 'AAA'), /a certificate cannot be read/],
  ['too much', () => given + ' '.repeat(65_536), /more than 65536 characters/],
])('%s is refused, and the key is not quoted', (_what, text, why) => {
  const [, secret = ''] = /KEY-----\n(.{20})/.exec(file('leaf.key')) ?? [];
  let thrown: unknown;
  try {
    check(text());
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({
    code: 'bad-certificate',
    exit: 2,
    what: expect.stringMatching(why) as string,
  });
  expect(JSON.stringify(thrown)).not.toContain(secret);
});

test('one that is over is refused with its end', () => {
  expect(() => check(given, Date.now() + 3 * 24 * 3600 * 1000)).toThrow(/it ended on /);
});

test('a secret that holds a certificate is checked as one, and no other has several lines', () => {
  expect(checkSecret({ name: 'certificate', holds: 'certificate' }, given)).toBe(given.trim());
  expect(() => checkSecret({ name: 'certificate', holds: 'certificate' }, 'word')).toThrow(/no certificate/);
  expect(checkSecret({ name: 'word' }, 'word')).toBe('word');
  expect(() => checkSecret({ name: 'word' }, given)).toThrow(/one line/);
});
