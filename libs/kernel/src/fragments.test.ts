import { expect, test } from 'vitest';
import { joinFragments } from './fragments.ts';

test('fragments keep their order and know where each line stands', () => {
  const { requests, text } = joinFragments([
    { name: '10-a.config', text: '# why\nCONFIG_A=y\n' },
    { name: '20-b.config', text: '# CONFIG_B is not set\n' },
  ]);
  expect(requests).toEqual([
    { symbol: 'A', value: 'y', line: 2, fragment: '10-a.config' },
    { symbol: 'B', value: 'n', line: 1, fragment: '20-b.config' },
  ]);
  expect(text.indexOf('CONFIG_A')).toBeLessThan(text.indexOf('CONFIG_B'));
});

test('a symbol that two lines set is refused, with both places', () => {
  const twice = () =>
    joinFragments([
      { name: '10-a.config', text: 'CONFIG_A=y\n' },
      { name: '20-b.config', text: '\n# CONFIG_A is not set\n' },
    ]);
  expect(twice).toThrow(/10-a\.config:1 and 20-b\.config:2/);
});
