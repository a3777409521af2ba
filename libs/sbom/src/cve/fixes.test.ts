import { expect, test } from 'vitest';
import { fixesOf } from './fixes.ts';

const one = (name: string, version: string, originVersion = version) => ({
  name,
  version,
  origin: name,
  originVersion,
  files: 1,
  bytes: 1,
  stored: 1,
  trimmed: { files: 0, bytes: 0 },
});
const weak = (id: string, origin: string, packages: string[], fixed?: string) => ({
  id,
  origin,
  version: '1',
  packages,
  ...(fixed === undefined ? {} : { fixed }),
});

test('a change is a security fix where the new version has what mends a vulnerability of the image', () => {
  const packages = [
    one('openssl', '3.0-1'),
    one('libssl3', '3.0-1'),
    one('zlib', '1.2-1'),
    one('gcc', '14.2', '9:14'),
  ];
  const changes = [
    { name: 'openssl', to: '3.0-2' },
    { name: 'libssl3', to: '3.0-3' },
    { name: 'zlib', to: '1.2-2' },
    { name: 'gcc', to: '14.3' },
    { name: 'unknown', to: '1' },
  ];
  const vulnerabilities = [
    weak('CVE-1', 'openssl', ['openssl', 'libssl3'], '3.0-2'),
    weak('CVE-2', 'openssl', ['openssl', 'libssl3'], '3.0-3'),
    weak('CVE-3', 'zlib', ['zlib']),
    weak('CVE-4', 'gcc', ['gcc'], '9:14.1'),
  ];
  expect([...fixesOf({ base: 'debian', packages }, changes, vulnerabilities)]).toEqual([
    ['openssl', ['CVE-1']],
    ['libssl3', ['CVE-1', 'CVE-2']],
    // Its version is another one than its source's.
    ['gcc', ['CVE-4']],
  ]);
});
