import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { installToolchain, readToolchainLock, TOOLCHAIN } from './toolchain.ts';

let folder: string;
let dir: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sovereign-go-'));
  dir = join(folder, 'fetched');
  for (const path of ['bin', 'pkg/tool/linux_amd64', 'src']) mkdirSync(join(dir, path), { recursive: true });
  for (const path of ['bin/go', 'pkg/tool/linux_amd64/compile', 'src/all.bash']) {
    writeFileSync(join(dir, path), '', { mode: 0o644 });
  }
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('a toolchain that is not what the lock names is refused and never gets its place', async () => {
  const install = installToolchain({ dir, sum: 'h1:other' }, 'h1:locked', join(folder, 'go'));
  await expect(install).rejects.toMatchObject({ code: 'wrong-digest' });
  expect(existsSync(join(folder, 'go'))).toBe(false);
});

test('the commands and tools of a fetched toolchain are made executable, and nothing else', async () => {
  const target = join(folder, 'go');
  await installToolchain({ dir, sum: 'h1:locked' }, 'h1:locked', target);
  const mode = (path: string) => statSync(join(target, path)).mode & 0o777;
  expect(mode('bin/go')).toBe(0o755);
  expect(mode('pkg/tool/linux_amd64/compile')).toBe(0o755);
  expect(mode('src/all.bash')).toBe(0o644);
});

test('the toolchain is locked for every kind of host', async () => {
  const { version, sums } = await readToolchainLock();
  expect(version).toBe(TOOLCHAIN);
  expect(sums.amd64).not.toBe(sums.arm64);
});
