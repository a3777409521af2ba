import { open } from 'node:fs/promises';
import { SovereignError } from '@sovereign/report';

/** `ARM\x64`, little-endian, at byte 0x38 of a raw Image: Documentation/arch/arm64/booting.rst, "Call the kernel image". */
const MAGIC = 0x644d5241;
const MAGIC_AT = 0x38;

/**
 * Checks that a file is a raw arm64 Image, the only form that every crosvm takes.
 * @throws SovereignError `bad-image`
 */
export async function checkImage(path: string): Promise<void> {
  const file = await open(path);
  try {
    const header = Buffer.alloc(64);
    const { bytesRead } = await file.read(header, 0, header.length, 0);
    const found = bytesRead === header.length ? header.readUInt32LE(MAGIC_AT) : undefined;
    if (found === MAGIC) return;
    const what =
      found === undefined
        ? `the file has only ${bytesRead} bytes`
        : `the magic number is 0x${found.toString(16)} instead of 0x${MAGIC.toString(16)}`;
    throw new SovereignError({
      code: 'bad-image',
      what: `this is no raw arm64 kernel image: ${what}`,
      on: path,
      hint: 'Boot the uncompressed arch/arm64/boot/Image, not vmlinux, Image.gz or vmlinuz.efi',
    });
  } finally {
    await file.close();
  }
}
