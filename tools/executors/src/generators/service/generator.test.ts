import { spawnSync } from 'node:child_process';
import {
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createTree } from '@nx/devkit/testing';
import { loadService } from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createNodes } from '../../plugin.ts';
import serviceGenerator from './generator.ts';

const workspace = workspaceRoot();
const root = mkdtempSync(join(tmpdir(), 'sovereign-generated-'));
const folder = join(root, 'packages/rootfs-toy');

beforeAll(async () => {
  const tree = createTree();
  tree.root = root;
  tree.write('tsconfig.json', '{ "references": [] }');
  tree.write('packages/rootfs-other/service.config.ts', 'x({ net: { index: 7 } })');
  const finish = await serviceGenerator(tree, { name: 'toy' });
  for (const { path, content, options } of tree.listChanges()) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content ?? '', { mode: options?.mode ?? 0o644 });
  }
  await finish();
  for (const name of ['eslint.config.js', 'tsconfig.base.json', 'package.json'])
    cpSync(join(workspace, name), join(root, name));
  for (const name of ['node_modules', 'libs', 'packages/guest'])
    symlinkSync(join(workspace, name), join(root, name));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

test('its definition is one, and has a place of its own on the network', async () => {
  const { definition, project } = await loadService(folder);
  expect(project).toBe('rootfs-toy');
  expect(definition).toMatchObject({ name: 'toy', net: { index: 8 }, units: ['toy'] });
});

test('it gets every target without a build file', async () => {
  const context = { workspaceRoot: root, nxJsonConfiguration: {} };
  const [found] = await createNodes[1](['packages/rootfs-toy/package.json'], undefined, context);
  const { projects } = found?.[1] ?? {};
  expect(Object.keys(projects?.['packages/rootfs-toy']?.targets ?? {})).toEqual(
    expect.arrayContaining(['lint', 'test', 'lock', 'build', 'deploy', 'start', 'stop', 'verify']),
  );
});

test('its OpenRC service is executable and in the runlevel', () => {
  expect(statSync(join(folder, 'overlay/etc/runlevels/default/toy')).mode & 0o777).toBe(0o755);
  expect(lstatSync(join(folder, 'overlay/etc/runlevels/default/toy')).isSymbolicLink()).toBe(true);
});

test('what it writes is clean: ESLint, Prettier, the shell', () => {
  const bin = join(workspace, 'node_modules');
  const run = (command: string, ...args: string[]) =>
    spawnSync(command, args, { cwd: folder, encoding: 'utf8' });
  const prettier = run(
    process.execPath,
    join(bin, 'prettier/bin/prettier.cjs'),
    '--config',
    join(workspace, '.prettierrc.json'),
    '--check',
    '.',
  );
  expect(prettier.stdout + prettier.stderr).toContain('All matched files use Prettier');
  const eslint = run(process.execPath, join(bin, 'eslint/bin/eslint.js'), '--max-warnings', '0', '.');
  expect(eslint.stdout + eslint.stderr).toBe('');
  for (const script of ['toy', 'toy-health']) {
    expect(run('sh', '-n', join(folder, 'overlay/usr/lib/sovereign', script)).status).toBe(0);
  }
}, 120_000);

test('a folder that is there is never written over', async () => {
  const tree = createTree();
  tree.write('packages/rootfs-toy/service.config.ts', '');
  await expect(serviceGenerator(tree, { name: 'toy' })).rejects.toThrow(/there already/);
});
