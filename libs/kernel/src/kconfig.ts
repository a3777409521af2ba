import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { KconfigLookup } from './check.ts';

interface Definition {
  dependsOn: string[];
}

/**
 * Reads the dependencies of all symbols that arm64 can see (Documentation/kbuild/kconfig-language.rst): `depends on`
 * of the symbol itself, and the `if` blocks and menus around it inside its file.
 */
export function parseKconfig(texts: Iterable<string>): KconfigLookup {
  const symbols = new Map<string, Definition>();
  for (const text of texts) parseFile(text, symbols);
  return (symbol) => symbols.get(symbol);
}

function parseFile(text: string, symbols: Map<string, Definition>): void {
  // Conditions of the blocks that are open, innermost last; a menu's own `depends on` joins its entry.
  const blocks: string[][] = [];
  let current: string[] | undefined;
  let help: number | undefined;
  for (const raw of text.replaceAll('\\\n', ' ').split('\n')) {
    const line = raw.replaceAll('\t', '        ');
    const indent = line.length - line.trimStart().length;
    const word = line.trim();
    if (help !== undefined) {
      // A help text ends with the first line that is indented less than it (0: not begun).
      if (word === '' || (help === 0 ? (help = indent) > 0 : indent >= help)) continue;
      help = undefined;
    }
    const opened = /^(?:menu)?config\s+(\w+)$/.exec(word);
    if (opened !== null) current = define(symbols, opened[1] ?? '', blocks);
    else if (/^(help|---help---)$/.test(word)) help = 0;
    else if (/^depends on\s/.test(word)) current?.push(condition(word.slice('depends on'.length)));
    else if (/^if\s/.test(word)) blocks.push([condition(word.slice('if'.length))]);
    else if (/^(menu|choice)\b/.test(word)) blocks.push((current = []));
    else if (/^(endif|endmenu|endchoice)\b/.test(word)) {
      blocks.pop();
      current = undefined;
    } else if (/^(comment|source|mainmenu)\b/.test(word)) current = undefined;
  }
}

function define(symbols: Map<string, Definition>, name: string, blocks: readonly string[][]): string[] {
  const dependsOn = blocks.flat();
  const known = symbols.get(name);
  // A symbol that is defined twice is there when either definition's conditions are met: the first is shown.
  if (known === undefined) symbols.set(name, { dependsOn });
  return known === undefined ? dependsOn : [];
}

const condition = (text: string): string => text.replace(/#.*$/, '').replace(/\s+/g, ' ').trim();

/** Reads the Kconfig files of a source tree, of all architectures only arm64's. */
export async function readKconfig(source: string): Promise<KconfigLookup> {
  const entries = await readdir(source, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && entry.name.startsWith('Kconfig'))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !foreign.test(path.slice(source.length + 1)))
    .sort();
  return parseKconfig(files.map((path) => readFileSync(path, 'utf8')));
}

/** Kconfig files of other architectures, of the user-space tools and of Kconfig's own tests. */
const foreign = /^(arch\/(?!arm64\/)[^/]+\/|tools\/|scripts\/kconfig\/)/;
