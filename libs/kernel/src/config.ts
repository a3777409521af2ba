import { SovereignError } from '@sovereign/report';

/**
 * Symbols of a kernel configuration without their `CONFIG_`, with the value as written after `=`: `y`, `m`, a
 * number, or a string with its quotes. A symbol that "is not set" has the value `n`.
 */
export type KernelConfig = Map<string, string>;

export interface ConfigLine {
  symbol: string;
  value: string;
  /** Counted from 1. */
  line: number;
}

const setLine = /^CONFIG_(\w+)=(y|m|n|-?\d+|0x[0-9a-fA-F]+|"(?:[^"\\]|\\.)*")$/;
const unsetLine = /^# CONFIG_(\w+) is not set$/;

/**
 * Reads every assignment of a `.config` or a fragment (Documentation/kbuild/kconfig.rst).
 * @throws SovereignError `bad-config` for a line that is neither an assignment, a comment nor empty: `make` would
 *   pass over a misspelt one in silence
 */
export function parseConfigLines(text: string, name: string): ConfigLine[] {
  return text.split('\n').flatMap((raw, index) => {
    const line = index + 1;
    const set = setLine.exec(raw);
    if (set !== null) return [{ symbol: set[1] ?? '', value: set[2] ?? '', line }];
    const unset = unsetLine.exec(raw);
    if (unset !== null) return [{ symbol: unset[1] ?? '', value: 'n', line }];
    if (raw.trim() === '' || (raw.startsWith('#') && !/^#\s*CONFIG_\w+\s*(=|is\b)/.test(raw))) return [];
    throw new SovereignError({
      code: 'bad-config',
      what: `line ${line} is no kernel configuration: ${raw}`,
      on: name,
      hint: 'Write CONFIG_NAME=value, or "# CONFIG_NAME is not set", or a comment',
    });
  });
}

export const parseConfig = (text: string, name = '.config'): KernelConfig =>
  new Map(parseConfigLines(text, name).map(({ symbol, value }) => [symbol, value]));

/** One assignment as it is written in a `.config`. */
export const configLine = (symbol: string, value: string): string =>
  value === 'n' ? `# CONFIG_${symbol} is not set` : `CONFIG_${symbol}=${value}`;

/**
 * What has to be written into a fragment so that `before` becomes `after`: one line a symbol, sorted. A symbol that
 * `after` no longer mentions was hidden by a dependency and needs no line of its own.
 */
export function diffConfig(before: KernelConfig, after: KernelConfig): string[] {
  return [...after]
    .filter(([symbol, value]) => (before.get(symbol) ?? 'n') !== value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([symbol, value]) => configLine(symbol, value));
}
