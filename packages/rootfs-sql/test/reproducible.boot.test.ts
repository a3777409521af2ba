import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openToolRoot } from '@sovereign/tools';
import { expect, test, vi } from 'vitest';
import { builtRoot, rebuildRoot } from './rebuild.ts';

test('the image is the same bytes wherever and whenever it is built', async () => {
  const { base, sha256 } = await builtRoot();
  const scratch = await mkdtemp(join(tmpdir(), 'reproducible '));
  try {
    vi.stubEnv('TZ', 'Pacific/Kiritimati');
    const tools = await openToolRoot();
    expect(await rebuildRoot(tools, join(scratch, 'a folder of another name'), base)).toBe(sha256);
  } finally {
    vi.unstubAllEnvs();
    await rm(scratch, { recursive: true, force: true });
  }
});
