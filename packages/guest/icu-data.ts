import { SovereignError } from '@sovereign/report';

/**
 * Clears items of ICU's common data file inside its library (libicudata), in place: the table of contents stays, so
 * does the size, and zeros cost nothing in a compressed image. Format: ICU's UDataInfo header (udata.h) with the
 * data format `CmnD`, a count, and per item the offsets of its name and of its data from the count on, sorted by name.
 * @param unwanted gets the item's name below the package, for example `coll/de.res`
 * @throws SovereignError `bad-icu-data` where this is not found exactly once
 */
export function clearIcuItems(library: Buffer, unwanted: (item: string) => boolean): Buffer {
  const copy = Buffer.from(library);
  const base = tableOf(copy);
  const items = readTable(copy, base);
  items.forEach(({ name, offset }, index) => {
    const next = items[index + 1];
    // The last item has no end of its own.
    if (next !== undefined && unwanted(name)) copy.fill(0, base + offset, base + next.offset);
  });
  return copy;
}

function tableOf(file: Buffer): number {
  const format = file.indexOf('CmnD');
  const header = format - 12;
  const found =
    header >= 0 &&
    file[header + 2] === 0xda &&
    file[header + 3] === 0x27 &&
    file.indexOf('CmnD', format + 1) < 0;
  if (!found) throw notIcu('no table of contents of ICU data, or more than one');
  return header + file.readUInt16LE(header);
}

function readTable(file: Buffer, base: number): { name: string; offset: number }[] {
  const count = file.readUInt32LE(base);
  if (count === 0 || base + 4 + count * 8 > file.length) throw notIcu('a table of contents that is too long');
  const items = Array.from({ length: count }, (_, index) => {
    const entry = base + 4 + index * 8;
    const start = base + file.readUInt32LE(entry);
    const name = file.toString('latin1', start, file.indexOf(0, start));
    return { name: name.slice(name.indexOf('/') + 1), offset: file.readUInt32LE(entry + 4) };
  });
  if (items.some(({ offset }, index) => offset <= (items[index - 1]?.offset ?? 0))) {
    throw notIcu('items that are not in order');
  }
  return items;
}

const notIcu = (what: string) =>
  new SovereignError({
    code: 'bad-icu-data',
    what: `the data of ICU cannot be read: ${what}`,
    on: 'libicudata',
    hint: 'Its format has changed: take the rule out of packages/guest/rewrites.ts, and adapt icu-data.ts',
  });
