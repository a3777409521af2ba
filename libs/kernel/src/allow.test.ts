import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readAllowed } from './allow.ts';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'allow-'))));
afterEach(() => rm(folder, { recursive: true }));

async function read(exception: object) {
  const path = join(folder, 'allow.json');
  await writeFile(path, JSON.stringify({ exceptions: [exception] }));
  return readAllowed(path);
}

test('an exception has a symbol, a value and a reason', async () => {
  const exception = { symbol: 'POWER_RESET', comesOut: 'y', reason: 'arm64 selects it, whatever is asked' };
  expect(await read(exception)).toEqual([exception]);
});

test.each([
  ['no reason', { symbol: 'A', comesOut: 'y', reason: '' }],
  ['a prefix', { symbol: 'CONFIG_A', comesOut: 'y', reason: 'a reason that is long enough' }],
])('an exception with %s is refused', async (_, exception) => {
  await expect(read(exception)).rejects.toMatchObject({ code: 'bad-allow-list' });
});
