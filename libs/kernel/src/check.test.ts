import { expect, test } from 'vitest';
import { assertConfig, checkConfig, staleExceptions, type Exception } from './check.ts';
import { parseConfig } from './config.ts';
import { joinFragments } from './fragments.ts';
import { parseKconfig } from './kconfig.ts';

const kconfig = parseKconfig([
  `menuconfig NF_TABLES
	tristate "nf_tables"
	depends on NETFILTER

if NF_TABLES

config NF_TABLES_INET
	depends on IPV6
	bool "inet"

endif
`,
]);

function problems(asked: string, final: string, exceptions: Exception[] = []) {
  const { requests } = joinFragments([{ name: '51-netfilter.config', text: asked }]);
  return checkConfig(requests, parseConfig(final), exceptions, kconfig);
}

test('what came out as asked is no problem', () => {
  expect(
    problems(
      'CONFIG_A=y\n# CONFIG_B is not set\n# CONFIG_C is not set\nCONFIG_D=3\n',
      'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_D=3\n',
    ),
  ).toEqual([]);
});

test('a dropped symbol is named with what it depends on', () => {
  // What happened to a real fragment: nf_tables was a module, so the family that needs it built in was gone.
  expect(problems('\nCONFIG_NF_TABLES_INET=y\n', 'CONFIG_NF_TABLES=m\n')).toEqual([
    {
      symbol: 'NF_TABLES_INET',
      at: '51-netfilter.config:2',
      asked: 'y',
      got: undefined,
      dependsOn: ['NF_TABLES', 'IPV6'],
      known: true,
    },
  ]);
});

test.each([
  ['built in became a module', 'CONFIG_A=y\n', 'CONFIG_A=m\n', 'm'],
  ['a module was built in', 'CONFIG_A=m\n', 'CONFIG_A=y\n', 'y'],
  ['off was selected back', '# CONFIG_A is not set\n', 'CONFIG_A=y\n', 'y'],
  ['a number changed', 'CONFIG_A=3\n', 'CONFIG_A=4\n', '4'],
  ['a string changed', 'CONFIG_A="x"\n', 'CONFIG_A=""\n', '""'],
  ['on came out off', 'CONFIG_A=y\n', '# CONFIG_A is not set\n', 'n'],
])('%s', (_, asked, final, got) => {
  expect(problems(asked, final)).toMatchObject([{ symbol: 'A', got, known: false }]);
});

test('an exception allows one value, not any', () => {
  const exceptions = [{ symbol: 'A', comesOut: 'y', reason: 'selected by the architecture' }];
  expect(problems('# CONFIG_A is not set\n', 'CONFIG_A=y\n', exceptions)).toEqual([]);
  expect(problems('# CONFIG_A is not set\n', 'CONFIG_A=m\n', exceptions)).toHaveLength(1);
});

test('the error names symbol, request, result and dependencies', () => {
  const found = problems('CONFIG_NF_TABLES_INET=y\nCONFIG_TYPO=y\n', '');
  expect(() => assertConfig(found, [])).toThrow(
    /51-netfilter\.config:1: asked CONFIG_NF_TABLES_INET=y, came out: it is not there; depends on \(NF_TABLES\) && \(IPV6\)[^]*CONFIG_TYPO=y[^]*no Kconfig file defines it/,
  );
});

test('an exception that nothing needs is an error', () => {
  const { requests } = joinFragments([{ name: 'a.config', text: 'CONFIG_A=y\n# CONFIG_B is not set\n' }]);
  const final = parseConfig('CONFIG_A=y\nCONFIG_B=y\n');
  const stale = staleExceptions(requests, final, [
    { symbol: 'A', comesOut: 'n', reason: 'came out as asked since' },
    { symbol: 'B', comesOut: 'y', reason: 'still needed' },
    { symbol: 'GONE', comesOut: 'y', reason: 'no longer asked' },
  ]);
  expect(stale.map(({ symbol }) => symbol)).toEqual(['A', 'GONE']);
  expect(() => assertConfig([], stale)).toThrow(/CONFIG_A CONFIG_GONE/);
});
