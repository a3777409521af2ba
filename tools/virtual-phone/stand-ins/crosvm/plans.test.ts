import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseRun } from './arguments.ts';
import { releases } from './flags.ts';
import { refusal } from './qemu.ts';

/** The command lines that deploys write, one golden file a release (libs/device). */
const golden = join(import.meta.dirname, '../../../../libs/device/src/testdata');

const cases = readdirSync(golden).flatMap((file) => {
  const [, name = ''] = /^crosvm-(.+?)(?:-tap)?\.args$/.exec(file) ?? [];
  const release = name === 'newest' ? '17' : releases.find((one) => one.toLowerCase() === name);
  if (release === undefined) return [];
  // Variants in the order to try, with an empty line between them.
  const [first = ''] = readFileSync(join(golden, file), 'utf8').split('\n\n');
  const argv = first.split('\n').filter((line) => line !== '' && !line.startsWith('# '));
  return [{ file, release, argv: argv.slice(argv.indexOf('run') + 1) }];
});

test.each(cases)('what is tried first on Android $release is taken: $file', ({ release, argv }) => {
  const machine = parseRun(release, argv);
  expect(refusal(machine)).toBeUndefined();
  expect(machine.disks.map(({ id, readOnly, sparse }) => [id, readOnly || !sparse])).toEqual([
    ['sov-root', true],
    ['sov-data', true],
    ['sov-config', true],
  ]);
});

test('every release that deploys know is among them', () => {
  expect(new Set(cases.map(({ release }) => release))).toEqual(
    new Set(['13', '14', '15', '15-QPR2', '16', '17']),
  );
});
