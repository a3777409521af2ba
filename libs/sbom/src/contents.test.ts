import { expect, test } from 'vitest';
import { contentsSchema, makeContents } from './contents.ts';
import { builtImage } from './testing/image.ts';

test('the contents of an image count each package, what was trimmed of it, and what nobody owns', () => {
  const contents = makeContents(builtImage());
  expect(contentsSchema.parse(contents)).toEqual(contents);
  expect(contents.packages).toEqual([
    {
      name: 'libstdc++6',
      version: '14-1+b1',
      origin: 'gcc-14',
      originVersion: '14-1',
      files: 1,
      bytes: 50,
      stored: 20,
      trimmed: { files: 0, bytes: 0 },
    },
    {
      name: 'x',
      version: '1:2-3',
      origin: 'x',
      originVersion: '1:2-3',
      files: 1,
      bytes: 30,
      stored: 10,
      trimmed: { files: 3, bytes: 160 },
    },
  ]);
  expect(contents.trimmed.map(({ glob, bytes }) => [glob, bytes])).toEqual([
    ['usr/include', 90],
    ['usr/share/doc', 70],
  ]);
  expect(contents.unowned).toEqual([
    { path: 'etc/ours', bytes: 4, stored: 4, source: 'overlay' },
    { path: 'usr/sbin/made', bytes: 9, stored: 0, source: 'generated' },
  ]);
});
