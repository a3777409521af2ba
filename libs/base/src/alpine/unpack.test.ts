import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { SovereignError } from '@sovereign/report';
import { sha256 } from '@sovereign/store';
import fc from 'fast-check';
import { extract, pack, type Header } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { makeApk, makeKey, type ApkOptions } from '../../testing/apk.ts';
import type { Lock } from '../lock.ts';
import type { ApkEntry } from './apk.ts';
import { APKO_VERSION, type ApkoRunner } from './apko.ts';
import { asPackaged, unpack } from './unpack.ts';

const key = makeKey('builder@test-0001');
let scratch: string;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'unpack-'));
  vi.stubEnv('XDG_CACHE_HOME', join(scratch, 'cache'));
  vi.stubEnv('SOVEREIGN_EVENTS', join(scratch, 'events'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(scratch, { recursive: true });
});

/** Unpacks one package with a stand-in for apko's `build`. */
async function unpackOne(options: ApkOptions, build: ApkoRunner) {
  const { file, fileName } = await makeApk(options, key);
  const path = join(scratch, fileName);
  writeFileSync(path, file);
  const { name, version } = options;
  const entry = { name, version, archive: 'main', path: fileName, size: file.length, sha256: sha256(file) };
  const lock: Lock = {
    schema: 1,
    base: 'alpine',
    release: 'v3.24',
    arch: 'aarch64',
    requested: [name],
    packages: [entry],
  };
  const run: ApkoRunner = (args, folder, signal) =>
    args[0] === 'version'
      ? Promise.resolve({ exitCode: 0, stdout: `{ "gitVersion": "${APKO_VERSION}" }`, stderr: '' })
      : build(args, folder, signal);
  return unpack(lock, [path], run);
}

/** Leaves what apko would: an image layout with this one layer. */
function leaveLayout(folder: string, layer: Buffer): void {
  const blobs = join(folder, 'layout/blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const put = (bytes: Buffer | string) => {
    writeFileSync(join(blobs, sha256(bytes)), bytes);
    return { digest: `sha256:${sha256(bytes)}` };
  };
  const manifest = put(JSON.stringify({ layers: [put(layer)] }));
  writeFileSync(join(folder, 'layout/index.json'), JSON.stringify({ manifests: [manifest] }));
}

type Item = Partial<Header> & { name: string; body?: string };

function tarOf(items: readonly Item[]): Promise<Buffer> {
  const tar = pack();
  for (const { body, ...header } of items) {
    if (header.type === 'file') tar.entry(header, body ?? '');
    else tar.entry(header);
  }
  tar.finalize();
  return buffer(Readable.from(tar, { objectMode: false }));
}

describe('unpacking', () => {
  test('a package whose files are damaged ends apko before its folder goes', async () => {
    const ends: boolean[] = [];
    const data = { member: Buffer.from('no gzip at all'), size: 1 };
    const unpacking = unpackOne({ name: 'bad', version: '1-r0', data }, async (_args, folder, signal) => {
      if (signal?.aborted !== true)
        await new Promise((resolve) => signal?.addEventListener('abort', resolve));
      // It takes a moment until a process is gone.
      await pause(50);
      ends.push(existsSync(folder));
      return { exitCode: undefined, stdout: '', stderr: '' };
    });
    await expect(unpacking).rejects.toMatchObject({ code: 'bad-package', on: 'bad' });
    expect(ends).toEqual([true]);
  });

  test('an image without apko’s record of what it installed is refused', async () => {
    const layer = gzipSync(await tarOf([{ name: 'etc', type: 'directory' }]));
    const unpacking = unpackOne({ name: 'good', version: '1-r0' }, (_args, folder) => {
      leaveLayout(folder, layer);
      return Promise.resolve({ exitCode: 0, stdout: '', stderr: '' });
    });
    await expect(unpacking).rejects.toMatchObject({
      code: 'apko-output',
      what: expect.stringContaining('usr/lib/apk/db/installed') as string,
    });
  });
});

describe('apko’s layer', () => {
  const CASES = process.env.SOVEREIGN_LONG === '1' ? 1_000_000 : 20_000;
  /** Per case, in milliseconds: generous, for the slowest machine. */
  const PATIENCE = 20;

  const path = fc
    .tuple(
      fc.constantFrom('', '', './', '/', '../'),
      fc.array(fc.constantFrom('a', 'b', 'etc', '..', '.', ''), { minLength: 1, maxLength: 3 }),
    )
    .map(([start, parts]) => start + parts.join('/'));
  const owner = fc.constantFrom('root', 'web', '');
  const bits = fc.nat(0o7777);
  const known: fc.Arbitrary<ApkEntry> = fc.record({
    path,
    type: fc.constantFrom('file', 'directory', 'symlink'),
    mode: bits,
    user: owner,
    group: owner,
  });
  const item = fc.record({
    name: path,
    type: fc.constantFrom('file', 'file', 'directory', 'symlink', 'link', 'character-device', 'fifo'),
    linkname: fc.oneof(path, fc.constant('/bin/busybox')),
    mode: bits,
    uname: owner,
    body: fc.string({ maxLength: 10 }),
  });

  const bare = (name: string) => name.replace(/\/$/, '');

  /** The entries that come out, or what ended them. */
  async function read(
    layer: Buffer,
    packages: ReadonlyMap<string, readonly ApkEntry[]>,
    owners: ReadonlyMap<string, string> = new Map(),
  ): Promise<Header[] | Error> {
    const out: Header[] = [];
    try {
      const tar = await buffer(asPackaged(Readable.from([layer]), packages, owners));
      for await (const entry of Readable.from([tar]).pipe(extract())) {
        out.push(entry.header);
        entry.resume();
      }
    } catch (error) {
      return error as Error;
    }
    return out;
  }

  test(
    `whatever ${CASES} of them hold, what the packages have comes out in their modes, or an error, and beside it links to BusyBox`,
    async () => {
      const property = fc.asyncProperty(
        fc.array(item, { maxLength: 5 }),
        fc.array(known, { maxLength: 5 }),
        fc.array(known, { maxLength: 3 }),
        fc.boolean(),
        async (items, some, more, complete) => {
          const there = new Set(items.map(({ name }) => bare(name)));
          const isLost = ({ path: name, type }: ApkEntry) =>
            type !== 'directory' && !/^\.[^/]*\/?$/.test(name) && !there.has(bare(name));
          // Else most cases would be about files that are lost.
          const [one, other] = [some, more].map((all) => all.filter((entry) => !complete || !isLost(entry)));
          const packages = new Map([
            ['one', one ?? []],
            ['other', other ?? []],
          ]);
          const out = await read(gzipSync(await tarOf(items), { level: 0 }), packages);
          const said = [...packages.values()].flat();
          // What is said last of a path counts.
          const lost = [...new Map(said.map((entry) => [bare(entry.path), entry])).values()].filter(isLost);
          if (out instanceof Error) {
            expect(out).toMatchObject({ code: 'bad-package' });
            expect(lost).not.toEqual([]);
            return;
          }
          expect(lost).toEqual([]);
          for (const { name, mode, uname, gname, type, linkname } of out) {
            const entries = said.filter((entry) => bare(entry.path) === bare(name));
            if (entries.length === 0) {
              expect([type, linkname]).toEqual(['symlink', '/bin/busybox']);
              continue;
            }
            expect(
              entries.some((entry) => entry.mode === mode && entry.user === uname && entry.group === gname),
            ).toBe(true);
          }
          // Nothing that a package has is lost.
          const names = new Set(said.map((entry) => bare(entry.path)));
          expect(out.filter(({ name }) => names.has(bare(name)))).toHaveLength(
            items.filter(({ name }) => names.has(bare(name))).length,
          );
        },
      );
      await fc.assert(property, { numRuns: CASES });
    },
    CASES * PATIENCE,
  );

  test(
    'that is damaged ends with an error or is read, and is never waited for',
    async () => {
      const packages = new Map([
        ['one', [{ path: 'etc/a', type: 'file', mode: 0o644, user: '', group: '' }]],
      ]);
      const layer = gzipSync(await tarOf([{ name: 'etc/a', type: 'file', body: 'x'.repeat(700) }]));
      const change = fc.record({
        at: fc.nat(layer.length - 1),
        bits: fc.integer({ min: 1, max: 255 }),
        cut: fc.option(fc.nat(layer.length - 1), { freq: 3 }),
      });
      const property = fc.asyncProperty(change, async ({ at, bits: flipped, cut }) => {
        const bytes = Buffer.from(layer);
        bytes[at] = (bytes[at] ?? 0) ^ flipped;
        const out = await read(bytes.subarray(0, cut ?? bytes.length), packages);
        if (out instanceof Error) expect(out instanceof SovereignError || out.message !== '').toBe(true);
        else for (const { name } of out) expect(name).toBe('etc/a');
      });
      await fc.assert(property, { numRuns: CASES / 10 });
    },
    CASES * PATIENCE,
  );
});
