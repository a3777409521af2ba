import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { PhoneFolder } from '../testing/phone-folder.ts';
import { phoneLines } from './lines.ts';

/** Follows a file of the stand-in phone. */
function followed(phone: PhoneFolder, follow = true) {
  const path = join(phone.folder, 'log');
  const lines: string[] = [];
  const controller = new AbortController();
  const done = (async () => {
    for await (const line of phoneLines(phone, path, follow, controller.signal)) lines.push(line);
  })();
  onTestFinished(() => controller.abort());
  return { path, lines, done, controller };
}

test('a file is read to its end, its last line also without a line feed', async () => {
  const phone = new PhoneFolder();
  writeFileSync(join(phone.folder, 'log'), 'one\r\ntwo\nthree');
  const { lines, done } = followed(phone, false);
  await done;
  expect(lines).toEqual(['one', 'two', 'three']);
});

test('a file that is not there has no lines', async () => {
  const { lines, done } = followed(new PhoneFolder(), false);
  await done;
  expect(lines).toEqual([]);
});

test('a file is followed over its rotation and over a loss of the connection, until the signal', async () => {
  const phone = new PhoneFolder();
  writeFileSync(join(phone.folder, 'log'), 'one\n');
  const { path, lines, done, controller } = followed(phone);
  await expect.poll(() => lines).toEqual(['one']);
  appendFileSync(path, 'two\n');
  await expect.poll(() => lines).toEqual(['one', 'two']);
  // The launcher copies a log and empties it.
  writeFileSync(path, '');
  await expect.poll(() => phone.count).toBe(2);
  appendFileSync(path, '3\n');
  await expect.poll(() => lines).toEqual(['one', 'two', '3']);
  phone.unplug();
  appendFileSync(path, 'four\n');
  await expect.poll(() => lines).toEqual(['one', 'two', '3', 'four']);
  expect(phone.count).toBe(3);
  controller.abort();
  await done;
}, 40_000);
