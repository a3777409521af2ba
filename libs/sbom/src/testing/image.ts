import type { BuiltImage } from '../image.ts';

const hex = (digit: string): string => digit.repeat(64);

/** A made-up image of two packages, one program and one file of ours. */
export const builtImage = (more: Partial<BuiltImage> = {}): BuiltImage => ({
  service: 'sql',
  version: '17.1-1',
  image: { name: 'root.erofs', sha256: hex('a'), size: 1000 },
  lock: {
    schema: 1,
    base: 'debian',
    release: 'trixie',
    arch: 'arm64',
    requested: ['libstdc++6', 'x'],
    packages: [
      {
        name: 'libstdc++6',
        version: '14-1+b1',
        archive: 'debian',
        path: 'pool/l.deb',
        size: 5,
        sha256: hex('b'),
      },
      { name: 'x', version: '1:2-3', archive: 'debian', path: 'pool/x.deb', size: 6, sha256: hex('c') },
    ],
  },
  metadata: [
    {
      name: 'libstdc++6',
      version: '14-1+b1',
      origin: 'gcc-14',
      originVersion: '14-1',
      license: 'GPL-3.0-or-later',
    },
    {
      name: 'x',
      version: '1:2-3',
      origin: 'x',
      homepage: 'https://x.test',
      license: 'MIT AND LicenseRef-own-1',
      licenseTexts: { 'LicenseRef-own-1': 'Do as you like.' },
    },
  ],
  composed: {
    files: [
      { path: 'etc/ours', size: 4, source: 'overlay', digests: { sha1: '1'.repeat(40), sha256: hex('1') } },
      { path: 'usr/bin/x', size: 30, source: 'package', package: 'x' },
      { path: 'usr/lib/libstdc++.so', size: 50, source: 'package', package: 'libstdc++6' },
      {
        path: 'usr/sbin/made',
        size: 9,
        source: 'generated',
        digests: { sha1: '2'.repeat(40), sha256: hex('2') },
      },
    ],
    trimmed: [
      { rule: { glob: 'usr/share/doc', reason: 'documentation' }, package: 'x', files: 2, bytes: 70 },
      { rule: { glob: 'usr/include', reason: 'for compiling' }, package: 'x', files: 1, bytes: 90 },
    ],
  },
  stored: new Map([
    ['etc/ours', 4],
    ['usr/bin/x', 10],
    ['usr/lib/libstdc++.so', 20],
  ]),
  files: [{ path: 'usr/sbin/made', content: goProgram(), mode: 0o755 }],
  ...more,
});

/** The bytes that a Go linker would leave in a program, at a multiple of 16 and behind a look-alike. */
export function goProgram(
  lines: readonly string[] = [
    'path\texample.org/tool/cmd/made',
    'mod\texample.org/tool\tv1.2.0\th1:main=',
    'dep\tgolang.org/x/sys\tv0.1.0\th1:sys=',
    'dep\texample.org/forked\tv1.0.0',
    '=>\texample.org/fork\tv1.0.1\th1:fork=',
    'build\tGOOS=linux',
  ],
): Buffer {
  const marker = Buffer.alloc(16, 0xf9);
  const modules = Buffer.concat([marker, Buffer.from(`${lines.join('\n')}\n`), marker]);
  const sized = (bytes: Buffer) => {
    const length = bytes.length < 0x80 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7];
    return Buffer.concat([Buffer.from(length), bytes]);
  };
  const header = Buffer.alloc(32);
  header.write('\xff Go buildinf:', 'latin1');
  header[14] = 8;
  header[15] = 2;
  return Buffer.concat([
    Buffer.from('code that names \xff Go buildinf: itself', 'latin1'),
    Buffer.alloc(11),
    header,
    sized(Buffer.from('go1.26.8')),
    sized(modules),
  ]);
}
