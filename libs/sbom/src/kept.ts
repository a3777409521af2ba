import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { byAge, dataDir } from '@sovereign/store';
import { readManifest } from '@sovereign/service';
import { readContents, type Contents } from './contents.ts';

/** How many images are remembered; the ones that were deployed longest ago are forgotten. */
const KEEP = 50;

const folder = (): string => dataDir('images');
const pathOf = (sha256: string): string => join(folder(), `${sha256}.json`);

/**
 * Remembers what lies in a built image, by its digest, so that later ones can be compared with it.
 * @param dist folder of the image and its manifest
 */
export async function keepContents(dist: string): Promise<void> {
  const { image, contents } = await readManifest(dist, 'root');
  if (contents === undefined) return;
  await mkdir(folder(), { recursive: true });
  const temporary = `${pathOf(image.sha256)}.${process.pid}.tmp`;
  await copyFile(join(dist, contents.name), temporary);
  await rename(temporary, pathOf(image.sha256));
  // Not what another deploy has under way.
  const names = (await readdir(folder())).filter((name) => name.endsWith('.json'));
  const known = await byAge(folder(), names);
  for (const { name } of known.slice(KEEP)) await rm(join(folder(), name), { force: true });
}

/** What lies in an image that was deployed from here before; undefined where that is not known. */
export async function keptContents(sha256: string): Promise<Contents | undefined> {
  const path = pathOf(sha256);
  return existsSync(path) ? readContents(path) : undefined;
}
