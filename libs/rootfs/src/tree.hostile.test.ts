import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { SovereignError } from '@sovereign/report';
import fc from 'fast-check';
import { pack, type Header } from 'tar-stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Tree } from './tree.ts';

const CASES = process.env.SOVEREIGN_LONG === '1' ? 1_000_000 : 20_000;
/** Per case, in milliseconds: generous, for the slowest machine. */
const PATIENCE = 20;

let scratch: string;
beforeAll(() => (scratch = mkdtempSync(join(tmpdir(), 'hostile-'))));
afterAll(() => rmSync(scratch, { recursive: true }));

let count = 0;
/** The tree of a tar, or what it was refused with. */
async function treeOf(tar: Readable): Promise<Tree | SovereignError> {
  const spool = join(scratch, `spool-${count++}`);
  const tree = await Tree.create(spool);
  try {
    await tree.addTar(tar, []);
    tree.addMissingDirectories();
    return tree;
  } catch (error) {
    if (error instanceof SovereignError) return error;
    throw error;
  } finally {
    await tree[Symbol.asyncDispose]();
    rmSync(spool);
  }
}

/** Parts of paths that have meant harm somewhere, and a few that only meet each other often. */
const part = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', 'bin', 'lib', 'usr', 'etc') },
  { weight: 3, arbitrary: fc.constantFrom('..', '.', '', '...', '.. ', '~', '-rf', '$HOME', 'a\\..\\b') },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 6 }) },
  { weight: 1, arbitrary: fc.constant('x'.repeat(300)) },
);
const path = fc
  .tuple(fc.constantFrom('', '', './', '/', '//', '../'), fc.array(part, { minLength: 1, maxLength: 5 }))
  .map(([start, parts]) => start + parts.join('/'));

const entry: fc.Arbitrary<Partial<Header> & { name: string; body: string }> = fc.record({
  name: path,
  linkname: path,
  body: fc.string({ maxLength: 20 }),
  type: fc.constantFrom('file', 'file', 'directory', 'symlink', 'link', 'character-device', 'fifo'),
  mode: fc.nat(0o7777),
  uid: fc.oneof(fc.nat(70_000), fc.constantFrom(-1, 2 ** 32, 2 ** 40)),
  gid: fc.nat(70_000),
});

function tarOf(entries: readonly (Partial<Header> & { name: string; body: string })[]): Readable {
  const tar = pack();
  for (const { body, ...header } of entries) {
    if (header.type === 'file') tar.entry({ ...header }, body);
    else tar.entry(header);
  }
  tar.finalize();
  return Readable.from(tar, { objectMode: false });
}

/** What holds of every tree that was not refused. */
function expectSound(tree: Tree): void {
  for (const [name, { uid, gid, mode }] of tree.entries) {
    const parts = name.split('/');
    for (const piece of parts) expect(['', '.', '..']).not.toContain(piece);
    for (const owner of [uid, gid]) expect(owner >= 0 && owner < 2 ** 32 - 1).toBe(true);
    expect(mode & ~0o7777).toBe(0);
    // Nothing lies below a link or a file: what unpacks this never follows one.
    for (let length = 1; length < parts.length; length++) {
      expect(tree.entries.get(parts.slice(0, length).join('/'))?.type).toBe('directory');
    }
  }
}

test(
  `whatever paths, links and owners ${CASES} archives hold, nothing leads out of the tree`,
  async () => {
    let refused = 0;
    const property = fc.asyncProperty(fc.array(entry, { maxLength: 6 }), async (entries) => {
      const tree = await treeOf(tarOf(entries));
      if (tree instanceof SovereignError) {
        refused += 1;
        expect(['bad-package', 'file-conflict', 'missing-file']).toContain(tree.code);
      } else expectSound(tree);
    });
    await fc.assert(property, { numRuns: CASES });
    // Were everything refused, or nothing, the property would say little.
    expect(refused).toBeGreaterThan(CASES / 20);
    expect(refused).toBeLessThan(CASES - CASES / 20);
  },
  CASES * PATIENCE,
);

test(
  'a damaged archive is refused or read, and never waited for',
  async () => {
    const whole = await buffer(
      tarOf([
        { name: 'etc/', type: 'directory', body: '' },
        { name: 'etc/passwd', type: 'file', body: 'root:x:0:0\n' },
        { name: `usr/${'long/'.repeat(30)}file`, type: 'file', body: 'x'.repeat(600) },
        { name: 'etc/link', type: 'symlink', linkname: '/etc/passwd', body: '' },
      ]),
    );
    const change = fc.record({
      at: fc.nat(whole.length - 1),
      bits: fc.integer({ min: 1, max: 255 }),
      cut: fc.option(fc.nat(whole.length), { freq: 3 }),
    });
    const property = fc.asyncProperty(change, async ({ at, bits, cut }) => {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ bits;
      const tree = await treeOf(Readable.from([bytes.subarray(0, cut ?? bytes.length)]));
      if (tree instanceof SovereignError)
        expect(tree.code).toMatch(/^(bad-package|file-conflict|missing-file)$/);
      else expectSound(tree);
    });
    await fc.assert(property, { numRuns: CASES / 10 });
  },
  CASES * PATIENCE,
);

test('an error of the source ends the reading', async () => {
  const failing = Readable.from(
    (function* () {
      yield Buffer.alloc(100);
      throw new SovereignError({ code: 'bad-package', what: 'the source broke' });
    })(),
  );
  expect(await treeOf(failing)).toMatchObject({ what: 'the source broke' });
});

test('links of folders that the merged /usr moves lead where they led', async () => {
  const link = (name: string, linkname: string) => ({ name, linkname, type: 'symlink' as const, body: '' });
  const tree = await treeOf(
    tarOf([
      { name: 'usr/bin/tool', type: 'file', body: 'x' },
      link('bin/tool', '../usr/bin/tool'),
      link('sbin/other', '../usr/bin/tool'),
      link('lib/libc.so', 'ld.so'),
      link('usr/sbin/tool', '/sbin/tool'),
    ]),
  );
  if (tree instanceof SovereignError) throw tree;
  const target = (name: string) => {
    const found = tree.entries.get(name);
    return found?.type === 'symlink' ? found.target : found?.type;
  };
  expect(target('usr/bin/tool')).toBe('file');
  expect(target('usr/sbin/other')).toBe('/usr/bin/tool');
  expect(target('usr/lib/libc.so')).toBe('ld.so');
  expect(target('usr/sbin/tool')).toBeUndefined();
});
