import { expect, test } from 'vitest';
import { buildStamps, make, toMakeArgs } from './make.ts';
import type { ToolRunner } from './runner.ts';

test('make is told where the source and the build are, and to cross-compile', () => {
  expect(toMakeArgs(['Image'], false, 2)).toEqual([
    'make',
    '--directory=/src',
    '--jobs=2',
    '--no-print-directory',
    'O=/build',
    'ARCH=arm64',
    'CROSS_COMPILE=aarch64-linux-gnu-',
    'CC=aarch64-linux-gnu-gcc',
    'HOSTCC=gcc',
    'Image',
  ]);
});

test('the source is read-only, and the stamps are fixed', async () => {
  let seen: Parameters<ToolRunner['run']>[1];
  const tools: ToolRunner = { digest: 'd1', run: (_, options) => Promise.resolve(void (seen = options)) };
  await make(tools, ['Image'], { source: '/s', build: '/b', ccache: '/c' });
  expect(seen?.binds).toEqual([
    { source: '/s', target: '/src' },
    { source: '/b', target: '/build', write: true },
    { source: '/c', target: '/cache', write: true },
  ]);
  expect(seen?.env).toMatchObject({
    ...buildStamps,
    CCACHE_DIR: '/cache',
  });
});
