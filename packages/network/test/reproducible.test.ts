import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compilePrograms, openToolchain } from '@sovereign/go';
import { readManifest } from '@sovereign/service';
import { sha256File } from '@sovereign/store';
import { expect, test } from 'vitest';
import { gvisorPrograms, tailscalePrograms } from '../index.ts';

// Minutes: it compiles Go's own library too.
test.skipIf(process.env.SOVEREIGN_LONG === undefined)(
  'the programs are the same bytes wherever they are built, with nothing compiled before',
  { timeout: 1_200_000 },
  async () => {
    const { gvproxy, gvforwarder, tailscaled } = await readManifest(
      join(import.meta.dirname, '../dist'),
      'network',
    );
    const folder = await mkdtemp(join(tmpdir(), 'sovereign-other place-'));
    try {
      const out = join(folder, 'out');
      const sets = { gvisor: gvisorPrograms, tailscale: await tailscalePrograms() };
      for (const [name, build] of Object.entries(sets)) {
        const module = join(folder, name);
        await cp(build.module, module, { recursive: true });
        await compilePrograms({ ...build, module }, await openToolchain(), out, {
          cache: join(folder, 'cache'),
        });
      }
      for (const program of [gvproxy, gvforwarder, tailscaled]) {
        for (const { name, sha256 } of Object.values(program)) {
          expect([name, await sha256File(join(out, name))]).toEqual([name, sha256]);
        }
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);
