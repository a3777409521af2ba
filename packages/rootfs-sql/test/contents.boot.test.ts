import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { storedSizes } from '@sovereign/rootfs';
import { readContents } from '@sovereign/sbom';
import { spdxSchema } from '@sovereign/sbom/testing';
import { readManifest } from '@sovereign/service';
import { sha256 } from '@sovereign/store';
import { expect, test } from 'vitest';

// Boots nothing, but looks at the image that was built.
const dist = join(import.meta.dirname, '../dist');
const manifest = await readManifest(dist, 'root');
const contents = await readContents(join(dist, 'root.contents.json'));

test('bill of materials and contents are the files that the manifest names, of this image', async () => {
  for (const file of [manifest.sbom, manifest.contents]) {
    const bytes = await readFile(join(dist, file?.name ?? 'none'));
    expect(file).toMatchObject({ sha256: sha256(bytes), size: bytes.length });
  }
  expect(contents.image).toEqual({ sha256: manifest.image.sha256, size: manifest.image.size });
});

test('the bill of materials is a document of SPDX 2.3, with every package of the contents in its version', async () => {
  const document = spdxSchema.parse(JSON.parse(await readFile(join(dist, 'root.spdx.json'), 'utf8')));
  expect(document.documentNamespace).toContain(manifest.image.sha256);
  const named = new Map(document.packages.map(({ name, versionInfo }) => [name, versionInfo]));
  for (const { name, version } of contents.packages) expect(named.get(name), name).toBe(version);
  expect(document.packages.map(({ name }) => name)).toContain('tailscale.com/cmd/tailscaled');
});

test('the contents account for the image: each byte is of a package or of a file that is named', async () => {
  const stored = await storedSizes(join(dist, manifest.image.name));
  const total = [...stored.values()].reduce((sum, bytes) => sum + bytes, 0);
  const counted = [...contents.packages, ...contents.unowned].reduce((sum, one) => sum + one.stored, 0);
  expect(counted).toBe(total);
  // The rest is inodes and names.
  expect(total).toBeLessThan(manifest.image.size);
  expect(total).toBeGreaterThan(manifest.image.size * 0.95);
});

test('no file of a package is without its owner', () => {
  expect(contents.unowned.filter(({ source }) => source === 'package')).toEqual([]);
});
