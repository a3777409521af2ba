import { describe, expect, test } from 'vitest';
import type { LockedPackage } from '../lock.ts';
import { licenseOf } from './copyright.ts';
import { packageMetadata } from './metadata.ts';

const locked = (name: string, version = '1-1'): LockedPackage => ({
  name,
  version,
  archive: 'debian',
  path: `pool/${name}.deb`,
  size: 1,
  sha256: '0'.repeat(64),
});

const machineReadable = (...paragraphs: string[]): string =>
  ['Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/', ...paragraphs].join('\n\n');
const files = (license: string): string => `Files: *\nCopyright: somebody\nLicense: ${license}`;

describe('the licence of a package', () => {
  test.each([
    ['GPL-2+', 'GPL-2.0-or-later'],
    ['LGPL-2.1', 'LGPL-2.1-only'],
    ['Expat', 'MIT'],
    ['zlib', 'Zlib'],
    ['GPL-1+ or Artistic', 'GPL-1.0-or-later OR Artistic-1.0-Perl'],
    ['GPL-2+ or Artistic-2.0, and BSD-3-clause', '(GPL-2.0-or-later OR Artistic-2.0) AND BSD-3-Clause'],
  ])('%s is %s', (name, spdx) => {
    expect(licenseOf(machineReadable(files(name)))).toEqual({ license: spdx });
  });

  test('is everything that its files are under, each once', () => {
    const text = machineReadable(files('ISC'), files('GPL-2 or MIT'), files('ISC and MIT'));
    expect(licenseOf(text)).toEqual({ license: '(GPL-2.0-only OR MIT) AND ISC AND MIT' });
  });

  test('that the list of SPDX does not have is kept as its text, wherever the file says it', () => {
    const there = licenseOf(machineReadable(files('own-terms\n Do as you like.\n .\n Really.')));
    const apart = licenseOf(
      machineReadable(files('own-terms'), 'License: own-terms\n Do as you like.\n .\n Really.'),
    );
    expect(there).toEqual(apart);
    expect(there.license).toMatch(/^LicenseRef-own-terms-[0-9a-f]{8}$/);
    expect(there.licenseTexts).toEqual({ [there.license ?? '']: 'Do as you like.\n.\nReally.' });
  });

  test('of one name and another text is another one', () => {
    const one = licenseOf(machineReadable(files('public-domain\n One.')));
    const other = licenseOf(machineReadable(files('public-domain\n Other.')));
    expect(one.license).not.toBe(other.license);
  });

  test('in a file for people is the whole file', () => {
    const { license = '', licenseTexts } = licenseOf('This was packaged by somebody.\n\nIt is free.\n');
    expect(license).toMatch(/^LicenseRef-Debian-copyright-/);
    expect(licenseTexts?.[license]).toBe('This was packaged by somebody.\n\nIt is free.');
  });
});

test('a package names its source, and takes the licence of the one whose documentation it links to', () => {
  const made = packageMetadata(
    [locked('libx1', '1-1+b2'), locked('x')],
    [
      {
        control:
          'Package: libx1\nSource: x (1-1)\nDescription: a library\n that goes on\nHomepage: https://x.test\n',
        documentedBy: 'x',
      },
      { control: 'Package: x\nVersion: 1-1\n', copyright: machineReadable(files('ISC')) },
    ],
  );
  expect(made).toEqual([
    {
      name: 'libx1',
      version: '1-1+b2',
      origin: 'x',
      originVersion: '1-1',
      homepage: 'https://x.test',
      license: 'ISC',
    },
    { name: 'x', version: '1-1', origin: 'x', license: 'ISC' },
  ]);
});
