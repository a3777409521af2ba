/** Tags of the dynamic section that are read here. */
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;

export interface ElfNeeds {
  /** Names of the shared libraries that it is linked against. */
  libraries: string[];
  /** Path of the dynamic loader that it asks for. */
  interpreter: string | undefined;
}

/**
 * What a 64-bit little-endian ELF file needs to start (System V ABI, "Object Files" and "Program Loading"); undefined
 * for any other file, and for one that is linked statically.
 */
export function elfNeeds(file: Buffer): ElfNeeds | undefined {
  const isElf64 = file.length >= 64 && file.readUInt32BE(0) === 0x7f454c46 && file[4] === 2 && file[5] === 1;
  if (!isElf64) return undefined;
  const segments = programHeaders(file);
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return undefined;

  const needed: bigint[] = [];
  let table = 0n;
  for (let at = dynamic.offset; at + 16 <= dynamic.offset + dynamic.size; at += 16) {
    const tag = file.readBigInt64LE(at);
    const value = file.readBigUInt64LE(at + 8);
    if (tag === DT_NEEDED) needed.push(value);
    if (tag === DT_STRTAB) table = value;
  }
  const strings = fileOffset(segments, Number(table));
  return {
    libraries: needed.map((offset) => cString(file, strings + Number(offset))),
    interpreter: interpreter === undefined ? undefined : cString(file, interpreter.offset),
  };
}

interface Segment {
  type: number;
  offset: number;
  address: number;
  size: number;
}

function programHeaders(file: Buffer): Segment[] {
  const start = Number(file.readBigUInt64LE(32));
  const entrySize = file.readUInt16LE(54);
  const count = file.readUInt16LE(56);
  return Array.from({ length: count }, (_, index) => {
    const at = start + index * entrySize;
    return {
      type: file.readUInt32LE(at),
      offset: Number(file.readBigUInt64LE(at + 8)),
      address: Number(file.readBigUInt64LE(at + 16)),
      size: Number(file.readBigUInt64LE(at + 32)),
    };
  });
}

function fileOffset(segments: readonly Segment[], address: number): number {
  const home = segments.find(
    (segment) =>
      segment.type === PT_LOAD && address >= segment.address && address < segment.address + segment.size,
  );
  return home === undefined ? address : address - home.address + home.offset;
}

const cString = (file: Buffer, start: number): string =>
  file.toString('latin1', start, file.indexOf(0, start));
