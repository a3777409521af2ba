import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  cacheDir,
  canonicalJson,
  contentKeyed,
  putEntry,
  removeEntry,
  takeEntry,
  withLock,
  writeFileAtomic,
} from './index.ts';

let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'store '));
  vi.stubEnv('XDG_CACHE_HOME', join(home, 'cache'));
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true });
});

test('the same value always gives the same canonical bytes', () => {
  expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: 'x' })).toBe(canonicalJson({ a: 'x', b: [{ c: 2, d: 1 }] }));
  expect(canonicalJson({ b: 1, a: 2 })).toBe('{\n  "a": 2,\n  "b": 1\n}\n');
});

test('a relative XDG folder is ignored, as its specification asks', () => {
  vi.stubEnv('XDG_CACHE_HOME', 'relative');
  vi.stubEnv('HOME', home);
  expect(cacheDir('x')).toBe(join(home, '.cache/sovereign/x'));
});

test('a file is replaced in one step, with its mode, and leaves no other file', async () => {
  const path = join(home, 'folder/secret');
  await writeFileAtomic(path, 'old', 0o600);
  await writeFileAtomic(path, 'new', 0o600);
  expect(readFileSync(path, 'utf8')).toBe('new');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(join(home, 'folder'))).toEqual(['secret']);
});

/** Puts a stand-in for sync(1) first in the path: it writes what there is in the cache at each call into a file. */
function recordSyncs(kind: string): string {
  const bin = join(home, 'bin');
  mkdirSync(bin);
  const seen = join(home, 'seen');
  const script = `#!/bin/sh\n{ echo sync; ls '${cacheDir(kind)}'; } >>'${seen}'\n`;
  writeFileSync(join(bin, 'sync'), script, { mode: 0o755 });
  vi.stubEnv('PATH', `${bin}:${process.env.PATH ?? ''}`);
  return seen;
}

describe('a content-keyed entry', () => {
  const key = 'ab'.repeat(32);

  test('is made once', async () => {
    const make = vi.fn((folder: string) => {
      writeFileSync(join(folder, 'out'), '1');
      return Promise.resolve();
    });
    const first = await contentKeyed('things', key, make);
    const second = await contentKeyed('things', key, make);
    expect(first).toEqual({ folder: cacheDir('things', key), cached: false });
    expect(second.cached).toBe(true);
    expect(make).toHaveBeenCalledTimes(1);
  });

  test('that failed half way is never seen, nor what a killed run left', async () => {
    // No process has a number this large.
    mkdirSync(cacheDir('things', `${'cd'.repeat(32)}.99999999.ab.tmp`), { recursive: true });
    const fail = (folder: string) => {
      writeFileSync(join(folder, 'half'), '');
      return Promise.reject(new Error('interrupted'));
    };
    await expect(contentKeyed('things', key, fail)).rejects.toThrow('interrupted');
    expect(readdirSync(cacheDir('things'))).toEqual([]);
  });

  test('is made once by two that ask at the same time', async () => {
    const make = vi.fn(() => new Promise<void>((resolve) => setTimeout(resolve, 50)));
    await Promise.all([contentKeyed('things', key, make), contentKeyed('things', key, make)]);
    expect(make).toHaveBeenCalledTimes(1);
  });

  test('goes when newer ones fill the cache and nobody uses it', async () => {
    const add = (letter: string) => contentKeyed('things', letter.repeat(64), () => Promise.resolve(), 2);
    const last = new Date(Date.now() - 2 * 3_600_000);
    for (const letter of ['1', '2', '3']) await add(letter);
    expect(readdirSync(cacheDir('things'))).toHaveLength(3);
    for (const letter of ['1', '2']) utimesSync(cacheDir('things', letter.repeat(64)), last, last);
    await add('1');
    await add('4');
    expect(readdirSync(cacheDir('things'))).toEqual(['1', '3', '4'].map((letter) => letter.repeat(64)));
  });

  test('is on the disk before it has its name', async () => {
    const seen = recordSyncs('things');
    await contentKeyed('things', key, () => Promise.resolve());
    expect(readFileSync(seen, 'utf8')).toMatch(/^sync\n[^]*\.tmp\n/);
    expect(readFileSync(seen, 'utf8').split('\n')).not.toContain(key);
  });

  test('that another process takes away while the cache is pruned is no error', async () => {
    const add = (letter: string) => contentKeyed('things', letter.repeat(64), () => Promise.resolve(), 1);
    const { folder } = await add('1');
    // It has a name in the list, and is not there when it is looked at.
    symlinkSync('gone', cacheDir('things', '2'.repeat(64)));
    expect(await add('3')).toMatchObject({ cached: false });
    await removeEntry(folder);
    await removeEntry(folder);
  });

  test('whose removal is cut short has lost its name before', async () => {
    const { folder } = await contentKeyed('things', key, () => Promise.resolve());
    await expect(removeEntry(folder, () => Promise.reject(new Error('cut')))).rejects.toThrow('cut');
    expect(readdirSync(cacheDir('things'))).toEqual([expect.stringMatching(/\.tmp$/)]);
  });
});

describe('an entry that is taken out of the cache', () => {
  const key = 'ab'.repeat(32);
  const work = () => join(home, 'work');

  /** Puts a folder with one file into the cache. */
  async function put(content: string) {
    mkdirSync(work());
    writeFileSync(join(work(), 'object'), content);
    await putEntry('trees', key, work(), 2);
  }

  test('is its one taker’s alone, until it is put back', async () => {
    await put('1');
    expect(await takeEntry('trees', key, work())).toBe(true);
    expect(await takeEntry('trees', key, join(home, 'another'))).toBe(false);
    writeFileSync(join(work(), 'object'), '2');
    await putEntry('trees', key, work(), 2);
    expect(readFileSync(cacheDir('trees', key, 'object'), 'utf8')).toBe('2');
  });

  test('gives way to what is put in its place', async () => {
    await put('1');
    await put('2');
    expect(readFileSync(cacheDir('trees', key, 'object'), 'utf8')).toBe('2');
    expect(readdirSync(cacheDir('trees'))).toEqual([key]);
  });

  test('is dropped where it comes from the future', async () => {
    await put('1');
    const later = new Date(Date.now() + 60_000);
    utimesSync(cacheDir('trees', key), later, later);
    expect(await takeEntry('trees', key, work())).toBe(false);
    expect(existsSync(work())).toBe(false);
    expect(readdirSync(cacheDir('trees'))).toEqual([]);
  });

  test('is on the disk before it has its name', async () => {
    const seen = recordSyncs('trees');
    await put('1');
    expect(readFileSync(seen, 'utf8')).toMatch(/^sync\n/);
    expect(readFileSync(seen, 'utf8').split('\n')).not.toContain(key);
  });
});

test('a lock lets one work at a time and names what is locked', async () => {
  const path = join(home, 'lock');
  const order: string[] = [];
  const work = (name: string) => async () => {
    order.push(`${name} in`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    order.push(`${name} out`);
  };
  await Promise.all([withLock(path, work('a')), withLock(path, work('b'))]);
  expect(order).toHaveLength(4);
  expect(order[1]).toBe(order[0]?.replace('in', 'out'));
  await withLock(path, async () => {
    await expect(withLock(path, work('c'), { wait: 1 })).rejects.toMatchObject({ code: 'locked', on: path });
  });
});

test('who waits for a lock is told once, and can stop waiting', async () => {
  const path = join(home, 'lock');
  const stop = new AbortController();
  const onWait = vi.fn(() => stop.abort(new Error('interrupted')));
  await withLock(path, async () => {
    const waiting = withLock(path, () => Promise.resolve(), { signal: stop.signal, onWait });
    await expect(waiting).rejects.toThrow('interrupted');
  });
  expect(onWait).toHaveBeenCalledTimes(1);
});
