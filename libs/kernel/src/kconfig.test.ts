import { expect, test } from 'vitest';
import { parseKconfig } from './kconfig.ts';

const lookup = parseKconfig([
  `# comment
menu "Devices"
	depends on HAS_IOMEM

config PLAIN
	bool "plain"
	default y if OTHER
	help
	  if this text were read, it would open a block,
	  depends on nothing of it.

	  config INSIDE_HELP

config WITH_TWO
	tristate
	depends on A && \\
		B
	depends on !C	# why

endmenu

if X
choice
	prompt "one of"
	depends on Y
config CHOSEN
	bool "chosen"
endchoice
endif

config FREE
	bool
`,
  `config PLAIN
	depends on ELSEWHERE
`,
]);

test('the conditions of the symbol and of the blocks around it are found', () => {
  expect(lookup('PLAIN')?.dependsOn).toEqual(['HAS_IOMEM']);
  expect(lookup('WITH_TWO')?.dependsOn).toEqual(['HAS_IOMEM', 'A && B', '!C']);
  expect(lookup('CHOSEN')?.dependsOn).toEqual(['X', 'Y']);
});

test('a symbol without conditions is known, one that does not exist is not', () => {
  expect(lookup('FREE')?.dependsOn).toEqual([]);
  expect(lookup('INSIDE_HELP')).toBeUndefined();
});
