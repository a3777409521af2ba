import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { followLines } from './lines.ts';

const file = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'sovereign-lines-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'log');
};

test('a file that does not exist has no lines, and a last line needs no end', async () => {
  const path = file();
  const read = async () => {
    const lines: string[] = [];
    for await (const line of followLines(path, false, new AbortController().signal)) lines.push(line);
    return lines;
  };
  expect(await read()).toEqual([]);
  writeFileSync(path, 'one\r\ntwo');
  expect(await read()).toEqual(['one', 'two']);
});

test('what is appended later is followed, also after the file was emptied', async () => {
  const path = file();
  writeFileSync(path, 'a long first line\n');
  const stop = new AbortController();
  const lines = followLines(path, true, stop.signal)[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('a long first line');
  appendFileSync(path, 'half');
  appendFileSync(path, ' a line é\n');
  expect((await lines.next()).value).toBe('half a line é');
  truncateSync(path);
  appendFileSync(path, 'new\n');
  expect((await lines.next()).value).toBe('new');
  stop.abort();
  expect((await lines.next()).done).toBe(true);
});
