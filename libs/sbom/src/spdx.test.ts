import { canonicalJson } from '@sovereign/store';
import { describe, expect, test } from 'vitest';
import { goBuildInfo } from './go-build-info.ts';
import { spdxLicense } from './license.ts';
import { goUrl, packageUrl } from './purl.ts';
import { makeSpdx } from './spdx.ts';
import { builtImage, goProgram } from './testing/image.ts';
import { spdxSchema } from './testing/spdx-schema.ts';

const named = (name: string) => makeSpdx(builtImage()).packages.find((one) => one.name === name);

describe('a bill of materials', () => {
  test('is a document of SPDX 2.3, by our reading of the specification', () => {
    expect(spdxSchema.parse(makeSpdx(builtImage()))).toEqual(makeSpdx(builtImage()));
  });

  test('is the same bytes for the same image, and another document for another image', () => {
    expect(canonicalJson(makeSpdx(builtImage()))).toBe(canonicalJson(makeSpdx(builtImage())));
    const other = makeSpdx(builtImage({ image: { name: 'root.erofs', sha256: 'd'.repeat(64), size: 1 } }));
    expect(other.documentNamespace).not.toBe(makeSpdx(builtImage()).documentNamespace);
  });

  test('gives a package its version, source, licence, digest and address', () => {
    expect(named('libstdc++6')).toMatchObject({
      versionInfo: '14-1+b1',
      sourceInfo: 'built from source package: gcc-14 14-1',
      licenseDeclared: 'GPL-3.0-or-later',
      licenseConcluded: 'NOASSERTION',
      checksums: [{ algorithm: 'SHA256', checksumValue: 'b'.repeat(64) }],
      externalRefs: [
        {
          referenceLocator:
            'pkg:deb/debian/libstdc%2B%2B6@14-1%2Bb1?arch=arm64&distro=trixie&upstream=gcc-14%4014-1',
        },
      ],
    });
  });

  test('names every element once, and relates only what is there', () => {
    const { packages, files, relationships } = makeSpdx(builtImage());
    const ids = ['SPDXRef-DOCUMENT', ...[...packages, ...files].map(({ SPDXID }) => SPDXID)];
    expect(new Set(ids).size).toBe(ids.length);
    const related = relationships.flatMap(({ spdxElementId, relatedSpdxElement }) => [
      spdxElementId,
      relatedSpdxElement,
    ]);
    expect(ids).toEqual(expect.arrayContaining(related));
    expect(relationships[0]).toEqual({
      spdxElementId: 'SPDXRef-DOCUMENT',
      relationshipType: 'DESCRIBES',
      relatedSpdxElement: 'SPDXRef-Image',
    });
    const inImage = relationships.filter(({ spdxElementId }) => spdxElementId === 'SPDXRef-Image');
    // Two packages, one program, and what is ours.
    expect(inImage).toHaveLength(4);
  });

  test('carries the text of every licence that has no name, and of no other', () => {
    expect(makeSpdx(builtImage()).hasExtractedLicensingInfos).toEqual([
      { licenseId: 'LicenseRef-own-1', extractedText: 'Do as you like.' },
    ]);
  });

  test('lists the modules of a program that was built, and the program no second time among the files', () => {
    const { packages, files, relationships } = makeSpdx(builtImage());
    const program = packages.find(({ name }) => name === 'example.org/tool/cmd/made');
    expect(program).toMatchObject({ versionInfo: 'v1.2.0', packageFileName: 'usr/sbin/made' });
    const linked = relationships.filter(({ relationshipType }) => relationshipType === 'STATIC_LINK');
    expect(linked.map(({ relatedSpdxElement }) => relatedSpdxElement)).toEqual([
      'SPDXRef-Go-golang.org-x-sys-v0.1.0',
      'SPDXRef-Go-example.org-fork-v1.0.1',
    ]);
    expect(files.map(({ fileName }) => fileName)).toEqual(['./etc/ours']);
  });

  test('without the words of the packages says that it does not know', () => {
    const document = makeSpdx(builtImage({ metadata: [] }));
    expect(spdxSchema.safeParse(document).success).toBe(true);
    expect(document.packages.find(({ name }) => name === 'x')?.licenseDeclared).toBe('NOASSERTION');
  });
});

test.each([
  [
    { base: 'alpine', release: 'v3.24', arch: 'aarch64' },
    { name: 'busybox', version: '1.37.0-r31' },
    'pkg:apk/alpine/busybox@1.37.0-r31?arch=aarch64&distro=alpine-3.24',
  ],
  [
    { base: 'debian', release: 'trixie', arch: 'arm64' },
    { name: 'zlib1g', version: '1:1.3~rc1+dfsg' },
    'pkg:deb/debian/zlib1g@1:1.3~rc1%2Bdfsg?arch=arm64&distro=trixie',
  ],
] as const)('the address of a package of %o', (lock, entry, url) => {
  expect(packageUrl(lock, entry)).toBe(url);
});

test('the address of a module is in lower case', () => {
  expect(goUrl('github.com/BurntSushi/toml', 'v1.5.0')).toBe('pkg:golang/github.com/burntsushi/toml@v1.5.0');
});

describe('the words of a distribution on a licence', () => {
  test('are kept where they are an expression', () => {
    expect(spdxLicense('GPL-2.0-only AND (MIT OR ISC)')).toEqual({
      expression: 'GPL-2.0-only AND (MIT OR ISC)',
      texts: {},
    });
  });

  test.each(['MIT BSD', 'custom', 'Public Domain', 'LicenseRef-without-text'])(
    'become a reference: %s',
    (words) => {
      const { expression, texts } = spdxLicense(words);
      expect(expression).toMatch(/^LicenseRef-[A-Za-z0-9.-]+-[0-9a-f]{8}$/);
      expect(texts[expression]).toContain(words);
    },
  );

  test.each([undefined, ' '])('that are missing assert nothing', (words) => {
    expect(spdxLicense(words)).toEqual({ expression: 'NOASSERTION', texts: {} });
  });
});

describe('the build information of a Go program', () => {
  test('gives modules as they were replaced', () => {
    expect(goBuildInfo(goProgram())).toEqual({
      go: 'go1.26.8',
      path: 'example.org/tool/cmd/made',
      main: { path: 'example.org/tool', version: 'v1.2.0', sum: 'h1:main=' },
      modules: [
        { path: 'golang.org/x/sys', version: 'v0.1.0', sum: 'h1:sys=' },
        { path: 'example.org/fork', version: 'v1.0.1', sum: 'h1:fork=' },
      ],
    });
  });

  test.each([Buffer.from('#!/bin/sh'), goProgram().subarray(0, 48), Buffer.alloc(0)])(
    'is not there in another file',
    (bytes) => {
      expect(goBuildInfo(bytes)).toBeUndefined();
    },
  );
});
