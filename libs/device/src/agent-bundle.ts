import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { SovereignError } from '@sovereign/report';
import type { ManifestOf } from '@sovereign/service';
import { canonicalJson, sha256File, writeFileAtomic } from '@sovereign/store';
import { pack } from 'tar-stream';

const NAME = 'agent.tar';

/**
 * Packs the launcher's scripts into `agent.tar` and writes `manifest.json` beside it. The same scripts give the same
 * bytes: sorted names, no times, no owners.
 * @param sources folder with launch.sh and lib/
 */
export async function bundleAgent(sources: string, output: string): Promise<ManifestOf<'agent'>> {
  const scripts = (await readdir(sources, { recursive: true })).filter((name) => name.endsWith('.sh')).sort();
  if (!scripts.includes('launch.sh')) {
    throw new SovereignError({
      code: 'no-launcher',
      what: 'there is no launch.sh to bundle',
      on: sources,
      hint: 'Name the folder src of packages/device-agent',
    });
  }
  await mkdir(output, { recursive: true });
  await rm(join(output, 'manifest.json'), { force: true });
  const tar = pack();
  for (const name of scripts) {
    const mode = name === 'launch.sh' ? 0o755 : 0o644;
    tar.entry({ name, mode, mtime: new Date(0), uid: 0, gid: 0 }, await readFile(join(sources, name)));
  }
  tar.finalize();
  const path = join(output, NAME);
  await pipeline(tar, createWriteStream(path));
  const manifest: ManifestOf<'agent'> = {
    schema: 1,
    kind: 'agent',
    bundle: { name: NAME, sha256: await sha256File(path), size: (await stat(path)).size },
  };
  await writeFileAtomic(join(output, 'manifest.json'), canonicalJson(manifest));
  return manifest;
}
