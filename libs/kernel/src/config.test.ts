import { expect, test } from 'vitest';
import { configLine, diffConfig, parseConfig, parseConfigLines } from './config.ts';

test('a configuration is read with every kind of value', () => {
  const config = parseConfig(
    '# Linux\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="a \\"b\\""\nCONFIG_D=0x10\nCONFIG_E=-1\n',
  );
  expect([...config]).toEqual([
    ['A', 'y'],
    ['B', 'n'],
    ['C', '"a \\"b\\""'],
    ['D', '0x10'],
    ['E', '-1'],
  ]);
});

test.each([
  'CONFIG_A = y',
  'CONFIG_A',
  'A=y',
  '# CONFIG_A is not  set',
  '#CONFIG_A=y',
  '# CONFIG_A is not set.',
])('a misspelt line is refused, with its place: %s', (line) => {
  expect(() => parseConfigLines(`\n${line}\n`, '10-base.config')).toThrow(/line 2.*10-base\.config/);
});

test('a difference is a fragment that leads from one configuration to the other', () => {
  const before = parseConfig(
    'CONFIG_A=y\nCONFIG_B=y\nCONFIG_N=1\nCONFIG_HIDDEN=y\n# CONFIG_STAYS is not set\n',
  );
  const after = parseConfig(
    'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_N=2\nCONFIG_NEW=y\n# CONFIG_STAYS is not set\n',
  );
  expect(diffConfig(before, after)).toEqual([configLine('B', 'n'), 'CONFIG_N=2', 'CONFIG_NEW=y']);
});
