import { createPublicKey } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { SovereignError } from '@sovereign/report';
import { beforeAll, describe, expect, test } from 'vitest';
import { makeApk, makeIndex, makeKey, signature, type SigningKey } from '../../testing/apk.ts';
import { openApk, openIndex } from './apk.ts';
import { newest, readIndex } from './apkindex.ts';
import { checkSignature, readKeys, type TrustedKeys } from './signature.ts';

const key = makeKey('builder@test-0001');
const trust = (...keys: SigningKey[]): TrustedKeys =>
  new Map(keys.map(({ name, publicKey }) => [name, createPublicKey(publicKey)]));
const trusted = trust(key);

const options = {
  name: 'tool',
  version: '1.2-r3',
  license: 'MIT',
  scripts: { '.post-install': '#!/bin/sh\nadduser tool\n', '.post-upgrade': '#!/bin/sh\n' },
  files: [
    { path: 'usr' },
    { path: 'usr/tool', body: 'program', mode: 0o4755 },
    { path: 'var/lib/tool', mode: 0o2750, user: 'tool', group: 'tool' },
  ],
};
const made = await makeApk(options, key);

/** Everything that is asked of a package file before it is used, as `solve` asks it. */
async function accept(file: Buffer, keys = trusted) {
  const apk = await openApk(file, 'tool');
  checkSignature(apk, keys, 'tool');
  return apk;
}
const refusal = (work: Promise<unknown>): Promise<SovereignError | undefined> =>
  work.then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof SovereignError) return error;
      throw error;
    },
  );

describe('a package', () => {
  test.each(['RSA', 'RSA256'] as const)('signed by a trusted key (%s) is opened', async (kind) => {
    const { file, stanza } = await makeApk(options, key, kind);
    const apk = await accept(file);
    expect(apk.info.get('license')).toEqual(['MIT']);
    expect(stanza).toContain(`C:${apk.identity}\n`);
    // What belongs to upgrades never comes up in an image.
    expect([...apk.scripts]).toEqual([['.post-install', '#!/bin/sh\nadduser tool\n']]);
  });

  test('signed by an unknown key is refused with its name', async () => {
    const other = makeKey('mallory');
    const { file } = await makeApk(options, other);
    expect((await refusal(accept(file)))?.what).toContain('mallory.rsa.pub (RSA)');
  });

  test('signed by another key under a trusted name is refused', async () => {
    const { file } = await makeApk(options, { ...makeKey('x'), name: key.name });
    expect((await refusal(accept(file)))?.what).toContain('its signature is wrong');
  });

  test('without a signature is refused', async () => {
    const { end } = await memberOf(made.file);
    const bare = Buffer.concat([gzipSync(Buffer.alloc(0)), made.file.subarray(end)]);
    expect((await refusal(accept(bare)))?.what).toContain('no signature');
  });

  test('of which any one byte is flipped is refused, or is the same package', async () => {
    const whole = await accept(made.file);
    const passed: number[] = [];
    for (let at = 0; at < made.file.length; at++) {
      const file = Buffer.from(made.file);
      file[at] = (file[at] ?? 0) ^ 0xff;
      const apk = await accept(file).catch((error: unknown) => {
        expect(error, `byte ${at}`).toMatchObject({ code: 'bad-package' });
      });
      if (apk === undefined) continue;
      passed.push(at);
      expect(apk).toEqual(whole);
    }
    // Time, speed and system that the wrapping of the signature carries: nobody signs them and nothing reads them.
    expect(passed).toEqual([4, 5, 6, 7, 8, 9]);
  });

  test('that is cut anywhere is refused', async () => {
    for (let length = 0; length < made.file.length; length++) {
      const error = await refusal(accept(made.file.subarray(0, length)));
      expect(error?.code, `${length} bytes`).toBe('bad-package');
    }
  });

  test('to which something is added is refused', async () => {
    const error = await refusal(accept(Buffer.concat([made.file, Buffer.from('x')])));
    expect(error?.code).toBe('bad-package');
  });

  test('whose description unpacks to gigabytes is stopped', async () => {
    const bomb = gzipSync(Buffer.alloc(200 << 20));
    const file = Buffer.concat([await signature(bomb, key, 'RSA'), bomb, gzipSync(Buffer.alloc(0))]);
    expect((await refusal(accept(file)))?.what).toContain('unpacks to more than 8388608 bytes');
  });
});

describe('an index', () => {
  let index: Buffer;
  beforeAll(async () => {
    index = await makeIndex([made], key);
  });
  const acceptIndex = async (file: Buffer) => {
    const opened = await openIndex(file, 'index');
    checkSignature(opened, trusted, 'index');
    return opened;
  };

  test('names what a package is known by', async () => {
    const { identity } = await openApk(made.file, 'tool');
    expect(readIndex((await acceptIndex(index)).text)).toEqual([
      { name: 'tool', version: '1.2-r3', identity, size: made.file.length, buildTime: 0 },
    ]);
  });

  test('of which any one byte is flipped is refused, or is the same index', async () => {
    const whole = await acceptIndex(index);
    const passed: number[] = [];
    for (let at = 0; at < index.length; at++) {
      const file = Buffer.from(index);
      file[at] = (file[at] ?? 0) ^ 0xff;
      const opened = await acceptIndex(file).catch((error: unknown) => {
        expect(error, `byte ${at}`).toMatchObject({ code: 'bad-package' });
      });
      if (opened === undefined) continue;
      passed.push(at);
      expect(opened).toEqual(whole);
    }
    expect(passed).toEqual([4, 5, 6, 7, 8, 9]);
  });

  test('signed by an unknown key is refused', async () => {
    const other = await makeIndex([made], makeKey('mallory'));
    expect((await refusal(acceptIndex(other)))?.what).toContain('mallory.rsa.pub');
  });

  test('that unpacks to gigabytes is stopped', async () => {
    const bomb = gzipSync(Buffer.alloc(200 << 20));
    const file = Buffer.concat([await signature(bomb, key, 'RSA'), bomb]);
    expect((await refusal(acceptIndex(file)))?.what).toContain('unpacks to more than 67108864 bytes');
  });

  test('leaves out what needs a newer apk, what cannot be fetched, and names that are paths', () => {
    const stanza = (...lines: string[]) => `${lines.join('\n')}\n\n`;
    const good = ['C:Q1x', 'P:good', 'V:1-r0', 'S:10', 't:1700000000', 'z:from the future'];
    const text = [
      stanza(...good),
      stanza('C:Q1x', 'P:newer', 'V:1-r0', 'S:10', 'X:must be known'),
      stanza('P:nameless', 'V:1-r0'),
      stanza('C:Q1x', 'P:../../etc/cron.d/x', 'V:1-r0', 'S:10'),
      stanza('C:Q1x', 'P:huge', 'V:1-r0', 'S:1e400'),
    ].join('');
    expect(readIndex(text).map(({ name }) => name)).toEqual(['good']);
    expect(newest(readIndex(text))).toBe(1_700_000_000);
  });
});

test("Alpine's own keys are pinned, and a folder without keys is refused", async () => {
  expect([...(await readKeys(`${import.meta.dirname}/../../keys`)).keys()]).toEqual([
    'alpine-devel@lists.alpinelinux.org-58199dcc.rsa.pub',
    'alpine-devel@lists.alpinelinux.org-616ae350.rsa.pub',
  ]);
  await expect(readKeys('/nonexistent')).rejects.toMatchObject({ code: 'no-keys', on: '/nonexistent' });
});

/** Where the first member of a file ends: its signed part is what openApk gives. */
async function memberOf(file: Buffer): Promise<{ end: number }> {
  const { signed } = await openApk(file, 'tool');
  return { end: file.indexOf(signed) };
}
