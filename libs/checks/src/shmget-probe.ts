/**
 * A static arm64 program of 172 bytes that calls shmget(2), removes what it got, and exits with the errno (0 for
 * success, 38 where the system call is not implemented). No program of the images calls shmget at the caller's wish,
 * and /proc/config.gz only tells what the kernel was meant to have.
 */
export function shmgetProbe(): Buffer {
  const code = [
    0xd2800000, // mov  x0, #0          IPC_PRIVATE
    0xd2820001, // mov  x1, #4096
    0xd2807002, // mov  x2, #0x380      IPC_CREAT | 0600
    0xd2801848, // mov  x8, #194        shmget
    0xd4000001, // svc  #0
    0xb7f800a0, // tbnz x0, #63, end    an error is negative
    0xd2800001, // mov  x1, #0          IPC_RMID
    0xd2800002, // mov  x2, #0
    0xd2801868, // mov  x8, #195        shmctl
    0xd4000001, // svc  #0
    0xcb0003e0, // end: neg x0, x0
    0xd2800ba8, // mov  x8, #93         exit
    0xd4000001, // svc  #0
  ];
  const headers = 64 + 56;
  const size = headers + code.length * 4;
  const load = 0x400000n;
  const elf = Buffer.alloc(size);
  // elf(5): 64 bit, little endian, version 1, ET_EXEC, EM_AARCH64.
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], 0);
  elf.writeUInt16LE(2, 16);
  elf.writeUInt16LE(183, 18);
  elf.writeUInt32LE(1, 20);
  elf.writeBigUInt64LE(load + BigInt(headers), 24);
  elf.writeBigUInt64LE(64n, 32);
  elf.writeUInt16LE(64, 52);
  elf.writeUInt16LE(56, 54);
  elf.writeUInt16LE(1, 56);
  // One PT_LOAD, readable and executable, of the whole file.
  elf.writeUInt32LE(1, 64);
  elf.writeUInt32LE(5, 68);
  elf.writeBigUInt64LE(0n, 72);
  elf.writeBigUInt64LE(load, 80);
  elf.writeBigUInt64LE(load, 88);
  elf.writeBigUInt64LE(BigInt(size), 96);
  elf.writeBigUInt64LE(BigInt(size), 104);
  elf.writeBigUInt64LE(0x10000n, 112);
  code.forEach((word, index) => elf.writeUInt32LE(word, headers + index * 4));
  return elf;
}

/** A POSIX sh script that writes the probe to memory, runs it, and exits as it did. */
export function shmgetScript(): string {
  const octal = [...shmgetProbe()].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  return [
    'p=/tmp/shmget-probe.$$',
    `printf '${octal}' >"$p" && chmod 700 "$p" || exit 125`,
    '"$p"; s=$?',
    'rm -f "$p"; exit $s',
  ].join('\n');
}
