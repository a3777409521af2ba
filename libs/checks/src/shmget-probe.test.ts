import { expect, it } from 'vitest';
import { shmgetProbe, shmgetScript } from './shmget-probe.ts';

it('is an arm64 program whose one segment covers the whole file', () => {
  const elf = shmgetProbe();
  expect(elf.subarray(0, 4).toString('latin1')).toBe('\x7fELF');
  expect(elf.readUInt16LE(18)).toBe(183);
  expect(elf.readBigUInt64LE(96)).toBe(BigInt(elf.length));
  // The entry point is the first instruction behind the headers.
  expect(elf.readBigUInt64LE(24) - elf.readBigUInt64LE(80)).toBe(120n);
});

it('is written by a script that holds nothing but octal escapes between its quotes', () => {
  expect(shmgetScript()).toMatch(/printf '(\\[0-7]{3}){172}' >/);
});
