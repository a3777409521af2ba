import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { parseConfigLines, type ConfigLine } from './config.ts';

/** One line of a fragment: what is asked of the final configuration. */
export interface ConfigRequest extends ConfigLine {
  /** File name of the fragment. */
  fragment: string;
}

export interface Fragments {
  requests: ConfigRequest[];
  /** All fragments one after another, in the order of their names, as they are appended to the configuration. */
  text: string;
}

/**
 * Reads `<folder>/*.config`, sorted by name.
 * @throws SovereignError `config-asked-twice` where two lines set the same symbol: the later one would win in silence
 */
export async function readFragments(folder: string): Promise<Fragments> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.config')).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  return joinFragments(names.map((name, index) => ({ name, text: texts[index] ?? '' })));
}

export function joinFragments(files: readonly { name: string; text: string }[]): Fragments {
  const requests = files.flatMap(({ name, text }) =>
    parseConfigLines(text, name).map((line) => ({ ...line, fragment: name })),
  );
  const seen = new Map<string, ConfigRequest>();
  for (const request of requests) {
    const first = seen.get(request.symbol);
    if (first !== undefined) throw askedTwice(first, request);
    seen.set(request.symbol, request);
  }
  return { requests, text: files.map(({ text }) => text).join('\n') };
}

const askedTwice = (first: ConfigRequest, second: ConfigRequest): SovereignError =>
  new SovereignError({
    code: 'config-asked-twice',
    what: `CONFIG_${first.symbol} is set twice: ${first.fragment}:${first.line} and ${second.fragment}:${second.line}`,
    on: `CONFIG_${first.symbol}`,
    hint: 'Keep the line of the topic that it belongs to',
  });
