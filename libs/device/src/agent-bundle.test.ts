import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { bundleAgent } from './agent-bundle.ts';

test('the same scripts give the same bytes, tests are left out', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sovereign-bundle-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'launch.sh'), 'echo\n');
  writeFileSync(join(folder, 'launch.test.ts'), '');
  const first = await bundleAgent(folder, join(folder, 'one'));
  utimesSync(join(folder, 'launch.sh'), 1, 1);
  expect(await bundleAgent(folder, join(folder, 'two'))).toEqual(first);
  expect(JSON.parse(readFileSync(join(folder, 'two', 'manifest.json'), 'utf8'))).toEqual(first);
  expect(execFileSync('tar', ['-tvf', join(folder, 'one', 'agent.tar')], { encoding: 'utf8' })).toMatch(
    /^-rwxr-xr-x 0\/0 +5 1970-01-01 00:00 launch\.sh\n$/,
  );
  await expect(bundleAgent(join(folder, 'one'), join(folder, 'three'))).rejects.toMatchObject({
    code: 'no-launcher',
  });
});
