import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { SovereignError } from '@sovereign/report';
import { sha256 } from '@sovereign/store';
import fc from 'fast-check';
import { extract, pack, type Header } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { makeApk, makeKey, type ApkOptions } from '../../testing/apk.ts';
import type { Lock } from '../lock.ts';
import { APKO_VERSION, type ApkoRunner } from './apko.ts';
import type { ApkEntry } from './record.ts';
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

/** Unpacks one package with a stand-in for apko's `unpack`. */
async function unpackOne(options: ApkOptions, unpacking: ApkoRunner) {
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
  const run: ApkoRunner = (args, folder) =>
    args[0] === 'version'
      ? Promise.resolve({ exitCode: 0, stdout: APKO_VERSION, stderr: '' })
      : unpacking(args, folder);
  return unpack(lock, [path], run);
}

/** Stands in for apko: leaves this as the root file system and as the record of what it unpacked. */
const leaves =
  (tar: Buffer, record: object | undefined, { digest = sha256(tar), exitCode = 0 } = {}): ApkoRunner =>
  (args, folder) => {
    const [tarName = '', recordName = ''] = args.slice(-2);
    writeFileSync(join(folder, tarName), tar);
    if (record !== undefined) writeFileSync(join(folder, recordName), JSON.stringify(record));
    return Promise.resolve({ exitCode, stdout: `${digest}\n`, stderr: 'it fails' });
  };

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
  const good: ApkOptions = { name: 'good', version: '1-r0' };
  const tar = () => tarOf([{ name: 'a', type: 'file', body: 'x'.repeat(700) }]);
  const entry = { package: 'good', path: 'a', type: '0', link: '', mode: 0o4711, user: 'web', group: '' };
  const record = { entries: [entry], installed: 'P:good\nF:\nR:a\n' };

  test('gives what apko left, as the packages say it, with the package of each file', async () => {
    const { tar: out, ownerOf } = await unpackOne(good, leaves(await tar(), record));
    const seen: unknown[] = [];
    for await (const one of Readable.from([await buffer(out)]).pipe(extract())) {
      const { name, mode, uname, size } = one.header;
      seen.push([name, mode, uname, size, ownerOf?.(name)]);
      one.resume();
    }
    expect(seen).toEqual([['a', 0o4711, 'web', 700, 'good']]);
  });

  test.each([
    ['none', undefined],
    ['one of something else', { entries: 'no', installed: '' }],
  ])('without apko’s record of what it unpacked is refused: %s', async (_case, left) => {
    await expect(unpackOne(good, leaves(await tar(), left))).rejects.toMatchObject({
      code: 'apko-output',
      what: expect.stringContaining('no record of what it unpacked') as string,
    });
  });

  test.each([
    ['a path', { path: '../evil' }],
    ['a path further in', { path: 'usr/../../evil' }],
    ['a path from the root', { path: '/tmp/evil' }],
    ['a hard link', { type: '1', link: '../../etc/passwd' }],
  ])('refuses %s that leads out, whether apko minds it or not', async (_case, evil) => {
    const said = { ...record, entries: [entry, { ...entry, package: 'evil', ...evil }] };
    for (const exitCode of [0, 1]) {
      const unpacking = unpackOne(good, leaves(await tar(), said, { exitCode }));
      await expect(unpacking).rejects.toMatchObject({ code: 'bad-package', on: 'evil' });
    }
  });

  test('tells apko’s own error where it is another', async () => {
    await expect(unpackOne(good, leaves(await tar(), record, { exitCode: 1 }))).rejects.toMatchObject({
      code: 'apko-failed',
      what: expect.stringContaining('it fails') as string,
    });
  });

  test('of a tar of which one byte is no longer as apko wrote it is refused, and nothing is kept', async () => {
    const written = await tar();
    const digest = sha256(written);
    for (const at of [0, 600, 1300, written.length - 1]) {
      const bytes = Buffer.from(written);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      await expect(unpackOne(good, leaves(bytes, record, { digest })), `byte ${at}`).rejects.toThrow();
      expect(readdirSync(join(scratch, 'cache/sovereign/alpine'))).toEqual([]);
    }
    const cut = written.subarray(0, written.length - 1024);
    await expect(unpackOne(good, leaves(cut, record, { digest }))).rejects.toMatchObject({
      code: 'apko-output',
    });
  });
});

describe('apko’s tar', () => {
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
    type: fc.constantFrom('other', 'other', 'directory', 'link'),
    mode: bits,
    user: owner,
    group: owner,
    package: fc.constantFrom('one', 'one', 'another'),
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
    left: Buffer,
    entries: readonly ApkEntry[],
    owners: ReadonlyMap<string, string> = new Map(),
  ): Promise<Header[] | Error> {
    const out: Header[] = [];
    try {
      const tar = await buffer(asPackaged(Readable.from([left]), entries, owners));
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
        fc.array(known, { maxLength: 8 }),
        fc.boolean(),
        async (items, some, complete) => {
          const there = new Set(items.map(({ name }) => bare(name)));
          const isLost = ({ path: name, type }: ApkEntry) => type !== 'directory' && !there.has(bare(name));
          // Else most cases would be about files that are lost.
          const said = some.filter((entry) => !complete || !isLost(entry));
          const out = await read(await tarOf(items), said);
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
      const entries: ApkEntry[] = [
        { package: 'one', path: 'etc/a', type: 'other', mode: 0o644, user: '', group: '' },
      ];
      const tar = await tarOf([{ name: 'etc/a', type: 'file', body: 'x'.repeat(700) }]);
      const change = fc.record({
        at: fc.nat(tar.length - 1),
        bits: fc.integer({ min: 1, max: 255 }),
        cut: fc.option(fc.nat(tar.length - 1), { freq: 3 }),
      });
      const property = fc.asyncProperty(change, async ({ at, bits: flipped, cut }) => {
        const bytes = Buffer.from(tar);
        bytes[at] = (bytes[at] ?? 0) ^ flipped;
        const out = await read(bytes.subarray(0, cut ?? bytes.length), entries);
        if (out instanceof Error) expect(out instanceof SovereignError || out.message !== '').toBe(true);
        else for (const { name } of out) expect(name).toBe('etc/a');
      });
      await fc.assert(property, { numRuns: CASES / 10 });
    },
    CASES * PATIENCE,
  );
});
