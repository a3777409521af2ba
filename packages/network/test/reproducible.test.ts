import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compilePrograms, openToolchain } from '@sovereign/go';
import { readManifest } from '@sovereign/service';
import { sha256File } from '@sovereign/store';
import { expect, test } from 'vitest';
import { networkPrograms } from '../index.ts';

// A minute: it compiles Go's own library too.
test.skipIf(process.env.SOVEREIGN_LONG === undefined)(
  'the programs are the same bytes wherever they are built, with nothing compiled before',
  { timeout: 600_000 },
  async () => {
    const { gvproxy, gvforwarder } = await readManifest(join(import.meta.dirname, '../dist'), 'network');
    const folder = await mkdtemp(join(tmpdir(), 'sovereign-other place-'));
    try {
      const module = join(folder, 'module');
      await cp(networkPrograms.module, module, { recursive: true });
      const out = join(folder, 'out');
      await compilePrograms({ ...networkPrograms, module }, await openToolchain(), out, {
        cache: join(folder, 'cache'),
      });
      for (const { name, sha256 } of [...Object.values(gvproxy), ...Object.values(gvforwarder)]) {
        expect([name, await sha256File(join(out, name))]).toEqual([name, sha256]);
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);
