import { expect, test } from 'vitest';
import { clearIcuItems } from './icu-data.ts';
import { unwantedIcuItem } from './rewrites.ts';

/** A library with ICU data in its middle: 4 bytes an item. */
function library(names: readonly string[], { format = 'CmnD', copies = 1 } = {}): Buffer {
  const header = Buffer.alloc(32);
  header.writeUInt16LE(32, 0);
  header.set([0xda, 0x27], 2);
  header.write(format, 12, 'latin1');
  const table = Buffer.alloc(4 + names.length * 8);
  const texts = names.map((name) => Buffer.from(`icudt76l/${name}\0`));
  let text = table.length;
  let data = table.length + texts.reduce((sum, { length }) => sum + length, 0);
  table.writeUInt32LE(names.length, 0);
  texts.forEach((bytes, index) => {
    table.writeUInt32LE(text, 4 + index * 8);
    table.writeUInt32LE(data, 8 + index * 8);
    text += bytes.length;
    data += 4;
  });
  const package_ = Buffer.concat([
    header,
    table,
    ...texts,
    ...names.map((_, index) => Buffer.from(`dat${index}`)),
  ]);
  return Buffer.concat([
    Buffer.from('\x7fELF....'),
    ...Array.from({ length: copies }, () => package_),
    Buffer.alloc(8),
  ]);
}

test('clears what is unwanted, in place, and nothing else', () => {
  const before = library(['coll/de.res', 'curr/de.res', 'root.res', 'zz.res']);
  const after = clearIcuItems(before, (item) => item.startsWith('curr/'));
  expect(after.length).toBe(before.length);
  expect(before.includes('dat1')).toBe(true);
  expect(['dat0', 'dat1', 'dat2', 'dat3'].map((text) => after.includes(text))).toEqual([
    true,
    false,
    true,
    true,
  ]);
  expect(after.includes('icudt76l/curr/de.res')).toBe(true);
});

test.each([
  ['has no ICU data', library(['a.res'], { format: 'ResB' })],
  ['has two tables', library(['a.res'], { copies: 2 })],
  ['has no items', library([])],
])('refuses a library that %s', (_name, file) => {
  expect(() => clearIcuItems(file, () => true)).toThrow(/ICU/);
});

test.each([
  'coll/de.res',
  'coll/ucadata.icu',
  'de.res',
  'nfc.nrm',
  'uprops.icu',
  'res_index.res',
  'lang/en.res',
  'lang/pool.res',
  'brkitr/word.brk',
  'brkitr/root.res',
  'curr/root.res',
])('keeps %s', (item) => {
  expect(unwantedIcuItem(item)).toBe(false);
});

test.each([
  'lang/de.res',
  'zone/de.res',
  'translit/el.res',
  'brkitr/cjdict.dict',
  'brkitr/Thai_codepoints_exclusive_model4_heavy_lstm.res',
  'ibm-912_P100-1995.cnv',
])('clears %s', (item) => {
  expect(unwantedIcuItem(item)).toBe(true);
});
