import { Readable } from 'node:stream';
import { extract, pack, type Header } from 'tar-stream';
import { expect, test } from 'vitest';
import { mountPoints, toolTree } from './tree.ts';

interface Entry extends Partial<Header> {
  name: string;
  text?: string;
}

const tools: Entry[] = [{ name: './usr/bin/dash' }, { name: './usr/bin/mkfs.erofs' }];

/** A tar as packages give it, of small files. */
function packages(entries: readonly Entry[]): Readable {
  const out = pack();
  for (const { text, ...header } of entries) out.entry(header, text ?? '');
  out.finalize();
  return Readable.from(out, { objectMode: false });
}

/** What is in a tar: the file’s text, or where the link leads, by path. */
async function contents(tar: Readable): Promise<[string, string][]> {
  const found: [string, string][] = [];
  const reader = extract();
  tar.on('error', (error) => reader.destroy(error));
  for await (const entry of tar.pipe(reader)) {
    let text = '';
    for await (const chunk of entry) text += String(chunk);
    found.push([entry.header.name, entry.header.type === 'symlink' ? entry.header.linkname : text]);
  }
  return found;
}

test('the tree has the links, accounts and mount points that install scripts would have made', async () => {
  const found = new Map(await contents(toolTree(packages(tools))));
  expect(found.get('usr/bin/awk')).toBe('gawk');
  expect(found.get('usr/bin/sh')).toBe('dash');
  expect(found.get('etc/passwd')).toMatch(/^root:x:0:0:/);
  for (const point of mountPoints) expect([...found.keys()]).toContain(point.slice(1));
});

test('every path is in it once, and what we make wins', async () => {
  const entries: Entry[] = [
    { name: './usr/', type: 'directory' },
    ...tools,
    { name: 'usr/', type: 'directory' },
    { name: './tmp/', type: 'directory' },
    { name: './usr/bin/sh', type: 'symlink', linkname: 'bash' },
    { name: './etc/passwd', text: 'somebody' },
  ];
  const paths = (await contents(toolTree(packages(entries)))).map(([path]) => path.replace(/\/$/, ''));
  expect(paths).toHaveLength(new Set(paths).size);
  expect(new Map(await contents(toolTree(packages(entries)))).get('usr/bin/sh')).toBe('dash');
});

test('a tree without a needed program is refused', async () => {
  await expect(contents(toolTree(packages(tools.slice(0, 1))))).rejects.toMatchObject({
    code: 'bad-tools',
    what: expect.stringContaining('usr/bin/mkfs.erofs is in no package') as string,
  });
});

test('a file of two packages is refused', async () => {
  await expect(contents(toolTree(packages([...tools, { name: 'usr/bin/dash' }])))).rejects.toMatchObject({
    code: 'bad-tools',
    what: expect.stringContaining('two packages have usr/bin/dash') as string,
  });
});
