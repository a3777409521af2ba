import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { keptEntry, readZstd } from './kept.ts';

let scratch: string;
let made: number;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'kept '));
  made = 0;
  vi.stubEnv('XDG_CACHE_HOME', scratch);
  vi.stubEnv('SOVEREIGN_EVENTS', join(scratch, 'events'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(scratch, { recursive: true });
});

const entry = () =>
  keptEntry({ kind: 'test', key: 'ab', keep: 2, label: 'this' }, (folder) => {
    made += 1;
    writeFileSync(join(folder, 'data'), zstdCompressSync('content'));
    writeFileSync(join(folder, 'words'), 'words');
    return Promise.resolve();
  });

const flip = (path: string) => {
  const bytes = readFileSync(path);
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  writeFileSync(path, bytes);
};

test('an entry is made once', async () => {
  expect((await entry()).cached).toBe(false);
  const { folder, cached } = await entry();
  expect([cached, made]).toEqual([true, 1]);
  expect(await text(readZstd(join(folder, 'data')))).toBe('content');
});

test('a damaged, missing or strange file is found, and the entry made again', async () => {
  const { folder } = await entry();
  const faults = [
    ...readdirSync(folder).map((name) => () => {
      flip(join(folder, name));
    }),
    ...readdirSync(folder).map((name) => () => {
      rmSync(join(folder, name));
    }),
    () => {
      writeFileSync(join(folder, 'strange'), '');
    },
  ];
  expect(faults).toHaveLength(7);
  for (const [index, fault] of faults.entries()) {
    fault();
    const again = await entry();
    expect(again.folder).toBe(folder);
    expect(made).toBe(index + 2);
    expect(readdirSync(folder).sort()).toEqual(['data', 'sums.json', 'words']);
    expect(await text(readZstd(join(folder, 'data')))).toBe('content');
  }
  expect(readFileSync(join(scratch, 'events'), 'utf8')).toContain('this was damaged in the cache');
});

test('of several that find it damaged, one makes it again', async () => {
  const { folder } = await entry();
  flip(join(folder, 'data'));
  const found = await Promise.all([entry(), entry(), entry()]);
  expect(made).toBe(2);
  for (const one of found) expect(await text(readZstd(join(one.folder, 'data')))).toBe('content');
});

test('a file that cannot be read ends what reads it', async () => {
  await expect(text(readZstd(join(scratch, 'nothing')))).rejects.toMatchObject({ code: 'ENOENT' });
});
