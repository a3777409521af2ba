import { expect, test } from 'vitest';
import { depTree } from './deptree.ts';

const service = (...lines: string[]) =>
  `#!/sbin/openrc-run\n\ndepend() {\n${lines.map((l) => `\t${l}\n`).join('')}}\n`;

test('writes what OpenRC writes: services by name, then the names that are provided, each with both directions', () => {
  const scripts = new Map([
    ['web', service('need net', 'after db')],
    ['db', service('need network')],
    ['network', service('provide net', 'keyword -stop')],
  ]);
  expect(depTree(scripts)).toBe(
    [
      "depinfo_0_service='db'",
      "depinfo_0_ineed_0='network'",
      "depinfo_0_ibefore_0='web'",
      "depinfo_1_service='network'",
      "depinfo_1_iprovide_0='net'",
      "depinfo_1_keyword_0='-stop'",
      "depinfo_1_needsme_0='db'",
      "depinfo_2_service='web'",
      "depinfo_2_ineed_0='net'",
      "depinfo_2_iafter_0='db'",
      "depinfo_3_service='net'",
      "depinfo_3_providedby_0='network'",
      "depinfo_3_needsme_0='web'",
      '',
    ].join('\n'),
  );
});

test.each([
  ['a need that no service meets', new Map([['web', service('need db')]]), /needs db/],
  [
    'a circle',
    new Map([
      ['a', service('need b')],
      ['b', service('after a')],
    ]),
    /circle: a → b → a/,
  ],
  [
    'words that only a shell understands',
    new Map([['a', service('need $(cat list)')]]),
    /more than plain names/,
  ],
  ['a word that OpenRC does not know', new Map([['a', service('wants b')]]), /more than plain names/],
])('refuses %s', (_name, scripts, message) => {
  expect(() => depTree(scripts)).toThrow(message);
});

test('a use or an order that names nobody is kept, as OpenRC keeps it', () => {
  expect(depTree(new Map([['a', service('use logger')]]))).toBe(
    "depinfo_0_service='a'\ndepinfo_0_iuse_0='logger'\n",
  );
});
