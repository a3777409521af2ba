import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { canonicalJson, writeFileAtomic } from '@sovereign/store';
import { z } from 'zod';
import { bases } from './definition.ts';

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const file = z.strictObject({
  /** Name inside the folder that holds the manifest. */
  name: z.string(),
  sha256: digest,
  size: z.int().nonnegative(),
});

/** What the `build` of an artifact leaves beside it as `manifest.json`. */
export const manifestSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    schema: z.literal(1),
    kind: z.literal('kernel'),
    /** Kernel release, for example `6.12.117`. */
    version: z.string(),
    image: file,
    /** The final `.config`. */
    config: file,
  }),
  z.strictObject({
    schema: z.literal(1),
    kind: z.literal('root'),
    service: z.string(),
    base: z.enum(bases),
    /** Version of the main package, for people. */
    version: z.string(),
    image: file,
    /** Its bill of materials (SPDX 2.3); images from before there was one have none. */
    sbom: file.optional(),
    /** What lies in it, by where it comes from; as above. */
    contents: file.optional(),
  }),
  z.strictObject({ schema: z.literal(1), kind: z.literal('agent'), bundle: file }),
  z.strictObject({
    schema: z.literal(1),
    kind: z.literal('network'),
    /** The network of a device's guests; runs on the device. */
    gvproxy: z.strictObject({ amd64: file, arm64: file }),
    /** Joins a guest to that network; for arm64 part of every root image, else for tests. */
    gvforwarder: z.strictObject({ amd64: file, arm64: file }),
    /** Joins a guest to the owner's tailnet, daemon and client in one; for arm64 part of every root image, else for tests. */
    tailscaled: z.strictObject({ amd64: file, arm64: file }),
  }),
]);

export type Manifest = z.output<typeof manifestSchema>;
export type ManifestOf<K extends Manifest['kind']> = Extract<Manifest, { kind: K }>;

/** Reads `manifest.json` of a built artifact and checks that it is of the wanted kind. */
export async function readManifest<K extends Manifest['kind']>(
  folder: string,
  kind: K,
): Promise<ManifestOf<K>> {
  const path = join(folder, 'manifest.json');
  const parsed = manifestSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
  if (!parsed.success || parsed.data.kind !== kind) {
    throw new SovereignError({
      code: 'bad-manifest',
      what: `this is no manifest of a built ${kind}`,
      on: path,
      hint: 'Build the project again',
    });
  }
  return parsed.data as ManifestOf<K>;
}

/** Writes `manifest.json` last, so that a folder with one is complete. */
export const writeManifest = (folder: string, manifest: Manifest): Promise<void> =>
  writeFileAtomic(join(folder, 'manifest.json'), canonicalJson(manifestSchema.parse(manifest)));
