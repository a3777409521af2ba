import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { configuration, machineSettings, parseUris, sources } from './apt.ts';
import { openDeb } from './deb.ts';
import { groupByArchive } from './mirrors.ts';

const mirrors = {
  debian: ['http://mirror.test/debian'],
  'debian-security': ['http://mirror.test/debian-security'],
};
const digest = 'd'.repeat(64);

describe('of the settings of the machine’s apt', () => {
  test('those count that say how a mirror is reached, and no other', () => {
    const reach = [
      'Acquire::http::Proxy "http://proxy.test:3128/";',
      'Acquire::http::Proxy::mirror.test "DIRECT";',
      'Acquire::https::CAInfo "/etc/ssl/own.pem";',
      'Acquire::Check-Valid-Until "false";',
    ];
    const other = [
      'APT::Default-Release "stable";',
      'APT::Install-Recommends "true";',
      'APT::Get::AllowUnauthenticated "true";',
      'APT::Update::Post-Invoke:: "rm -f /var/cache/apt/*.bin || true";',
      'Acquire::AllowInsecureRepositories "true";',
    ];
    expect(machineSettings([...other, ...reach, ''].join('\n'))).toBe(`${reach.join('\n')}\n`);
  });

  test('none is read behind ours', () => {
    const lines = configuration('/root of ours', 'arm64').split('\n');
    expect(lines).toContain('Dir::Etc::main "/dev/null";');
    expect(lines).toContain('Dir::Etc::parts "/dev/null";');
  });
});

describe('the output of apt', () => {
  test('names archive, path, size and digest; an epoch is unescaped', () => {
    const output = [
      'Reading package lists...',
      `'http://mirror.test/debian/pool/main/o/openrc/openrc_0.56-1_arm64.deb' openrc_0.56-1_arm64.deb 123 SHA256:${digest}`,
      `'http://mirror.test/debian-security/pool/u/x%2b/lib_1%3a2%2b1_all.deb' lib_1%3a2%2b1_all.deb 5 SHA256:${digest}`,
    ].join('\n');
    expect(parseUris(output, mirrors)).toEqual([
      {
        name: 'openrc',
        version: '0.56-1',
        archive: 'debian',
        path: 'pool/main/o/openrc/openrc_0.56-1_arm64.deb',
        size: 123,
        sha256: digest,
      },
      {
        name: 'lib',
        version: '1:2+1',
        archive: 'debian-security',
        path: 'pool/u/x+/lib_1:2+1_all.deb',
        size: 5,
        sha256: digest,
      },
    ]);
  });

  test('without a SHA-256 is refused', () => {
    const line = `'http://mirror.test/debian/pool/a_1_arm64.deb' a_1_arm64.deb 1 MD5Sum:00`;
    expect(() => parseUris(line, mirrors)).toThrow('not understood');
  });

  test('from an address that nobody asked for is refused', () => {
    const line = `'http://other.test/debian/pool/a_1_arm64.deb' a_1_arm64.deb 1 SHA256:${digest}`;
    expect(() => parseUris(line, mirrors)).toThrow('not understood');
  });
});

test('sources ask for signatures by the pinned keys alone', () => {
  const text = sources(mirrors, '/keys');
  expect(text.match(/^Signed-By: .*debian-archive-trixie-/gm)).toHaveLength(2);
  expect(text).toContain('Signed-By: /keys/debian-archive-trixie-security-automatic.asc\n');
  expect(text).toContain('Suites: trixie trixie-updates');
  expect(text).toContain('Suites: trixie-security');
});

test('of the addresses of apt only those of Debian archives are taken', () => {
  const addresses = [
    'http://a/debian/',
    'http://a/debian/',
    'http://a/debian-security/',
    'http://b/private/',
    'cdrom:x/debian',
  ];
  expect(groupByArchive(addresses)).toEqual({
    debian: ['http://a/debian'],
    'debian-security': ['http://a/debian-security'],
  });
});

describe('a .deb', () => {
  const tarOf = async (files: Record<string, string>) => {
    const tar = pack();
    for (const [name, text] of Object.entries(files)) tar.entry({ name }, text);
    tar.finalize();
    return buffer(Readable.from(tar, { objectMode: false }));
  };
  const ar = (members: [string, Buffer][]) =>
    Buffer.concat([
      Buffer.from('!<arch>\n'),
      ...members.flatMap(([name, body]) => [
        Buffer.from(
          `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${String(body.length).padEnd(10)}\`\n`,
        ),
        body,
        Buffer.alloc(body.length % 2),
      ]),
    ]);

  test('gives its scripts and its files', async () => {
    const control = await tarOf({ './control': 'Package: x\n', './postinst': '#!/bin/sh\n' });
    const data = await tarOf({ './usr/bin/x': 'program' });
    const deb = openDeb(
      ar([
        ['debian-binary', Buffer.from('2.0\n')],
        ['control.tar.gz', gzipSync(control)],
        ['data.tar.zst', zstdCompressSync(data)],
      ]),
      'x',
    );
    expect((await deb.control()).get('postinst')).toBe('#!/bin/sh\n');
    expect((await buffer(deb.data())).equals(data)).toBe(true);
  });

  test.each([
    ['garbage', Buffer.from('not a package at all')],
    [
      'cut',
      ar([
        ['debian-binary', Buffer.from('2.0\n')],
        ['data.tar', Buffer.alloc(1000)],
      ]).subarray(0, 500),
    ],
  ])('that is %s is refused by name', (_, file) => {
    expect(() => openDeb(file, 'libx 1.0').data()).toThrow(/libx 1\.0/);
  });
});
