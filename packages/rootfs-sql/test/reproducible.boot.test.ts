import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageBases } from '@sovereign/apko';
import { readLock } from '@sovereign/base';
import { builtPrograms, guestRecipe } from '@sovereign/guest';
import { composeRoot, makeErofs } from '@sovereign/rootfs';
import { loadService, readManifest } from '@sovereign/service';
import { sha256File, workspaceRoot } from '@sovereign/store';
import { openToolRoot } from '@sovereign/tools';
import { expect, test, vi } from 'vitest';

const project = join(import.meta.dirname, '..');

/** Composes the image that was built once more, in a folder and a time zone of its own. */
async function buildIn(folder: string, base: 'alpine' | 'debian'): Promise<string> {
  await mkdir(folder, { recursive: true });
  const service = await loadService(project);
  const lockPath = join(project, `${base}.lock.json`);
  const packages = await packageBases[base].unpack(await readLock(lockPath), lockPath);
  const recipe = await guestRecipe(service, base, await builtPrograms(workspaceRoot()));
  await composeRoot({ packages, ...recipe }, join(folder, 'root.tar'));
  await makeErofs(await openToolRoot(), join(folder, 'root.tar'), join(folder, 'root.erofs'));
  return sha256File(join(folder, 'root.erofs'));
}

test('the image is the same bytes wherever and whenever it is built', async () => {
  const { base, image } = await readManifest(join(project, 'dist'), 'root');
  const scratch = await mkdtemp(join(tmpdir(), 'reproducible '));
  try {
    vi.stubEnv('TZ', 'Pacific/Kiritimati');
    expect(await buildIn(join(scratch, 'a folder of another name'), base)).toBe(image.sha256);
  } finally {
    vi.unstubAllEnvs();
    await rm(scratch, { recursive: true, force: true });
  }
});
