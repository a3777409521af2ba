import { readFile } from 'node:fs/promises';
import { bases } from '@sovereign/service';
import { SovereignError } from '@sovereign/report';
import { z } from 'zod';
import type { BuiltImage } from './image.ts';

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().nonnegative();
const amount = z.strictObject({ files: count, bytes: count });

/**
 * `root.contents.json`: what lies in an image, by where it comes from. `bytes` is content, `stored` what it takes in
 * the image, compressed.
 */
export const contentsSchema = z.strictObject({
  schema: z.literal(1),
  service: z.string(),
  base: z.enum(bases),
  /** Debian's suite or Alpine's branch. */
  release: z.string(),
  image: z.strictObject({ sha256: digest, size: count }),
  /** In the order of the lock. */
  packages: z.array(
    z.strictObject({
      name: z.string(),
      version: z.string(),
      /** Source package and its version: what security data speak of. */
      origin: z.string(),
      originVersion: z.string(),
      ...amount.shape,
      stored: count,
      /** What rules left out of it. */
      trimmed: amount,
    }),
  ),
  /** By rule, the largest first. */
  trimmed: z.array(z.strictObject({ glob: z.string(), reason: z.string(), ...amount.shape })),
  /** Files that no package brings. */
  unowned: z.array(
    z.strictObject({
      path: z.string(),
      bytes: count,
      stored: count,
      source: z.enum(['overlay', 'generated', 'package']),
    }),
  ),
});

export type Contents = z.output<typeof contentsSchema>;

export function makeContents({ service, image, lock, metadata, composed, stored }: BuiltImage): Contents {
  const storedOf = ({ path }: { path: string }) => stored.get(path) ?? 0;
  const said = new Map(metadata.map((words) => [words.name, words]));
  const sum = (items: readonly { files: number; bytes: number }[]) => ({
    files: items.reduce((total, { files }) => total + files, 0),
    bytes: items.reduce((total, { bytes }) => total + bytes, 0),
  });
  const files = Map.groupBy(composed.files, (file) => file.package);
  const trimmedOf = Map.groupBy(composed.trimmed, (one) => one.package);
  const known = new Set(lock.packages.map(({ name }) => name));
  return {
    schema: 1,
    service,
    base: lock.base,
    release: lock.release,
    image: { sha256: image.sha256, size: image.size },
    packages: lock.packages.map(({ name, version }) => ({
      name,
      version,
      origin: said.get(name)?.origin ?? name,
      originVersion: said.get(name)?.originVersion ?? version,
      ...sum((files.get(name) ?? []).map(({ size }) => ({ files: 1, bytes: size }))),
      stored: (files.get(name) ?? []).map(storedOf).reduce((total, bytes) => total + bytes, 0),
      trimmed: sum(trimmedOf.get(name) ?? []),
    })),
    trimmed: [...Map.groupBy(composed.trimmed, ({ rule }) => rule)]
      .map(([{ glob, reason }, counts]) => ({ glob, reason, ...sum(counts) }))
      .sort((a, b) => b.bytes - a.bytes || (a.glob < b.glob ? -1 : 1)),
    unowned: composed.files
      .filter((file) => file.package === undefined || !known.has(file.package))
      .map(({ path, size, source }) => ({ path, bytes: size, stored: storedOf({ path }), source })),
  };
}

export async function readContents(path: string): Promise<Contents> {
  const parsed = contentsSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
  if (parsed.success) return parsed.data;
  throw new SovereignError({
    code: 'bad-contents',
    what: 'this does not list the contents of an image',
    on: path,
    hint: 'Build the project again',
  });
}
