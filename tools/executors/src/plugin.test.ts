import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { workspaceRoot } from '@sovereign/store';
import { describe, expect, test } from 'vitest';
import { serviceTargets, withoutImage } from './targets/service.ts';

const root = workspaceRoot();
const targets = serviceTargets('packages/rootfs-x');

/** Files of the workspace outside the project that a target is hashed by, named inputs resolved. */
function inputsOf(name: string): string {
  const { namedInputs } = JSON.parse(readFileSync(join(root, 'nx.json'), 'utf8')) as {
    namedInputs: Record<string, unknown[]>;
  };
  const resolve = (inputs: readonly unknown[]): unknown[] =>
    inputs.flatMap((input) =>
      typeof input === 'string' && namedInputs[input] !== undefined ? resolve(namedInputs[input]) : [input],
    );
  return JSON.stringify(resolve(targets[name]?.inputs ?? []));
}

describe('a folder with a service definition', () => {
  test('gets every target of a root file system, each with a description', () => {
    expect(Object.keys(targets)).toEqual(['lock', 'build', 'deploy', 'start', 'stop', 'verify', 'test']);
    for (const target of Object.values(targets)) expect(target.metadata?.description).toBeTruthy();
  });

  test('rebuilds its image when the code that makes it changes', () => {
    const inputs = inputsOf('build');
    for (const part of [
      'executors/src/rootfs-build',
      'executors/src/lib',
      'base,tools',
      'rootfs,sbom,service',
    ]) {
      expect(inputs).toContain(part);
    }
    for (const part of [
      'packages/guest',
      'tools/*.lock.json',
      '{projectRoot}/*.lock.json',
      'SOVEREIGN_BASE',
      'tools/apko/module',
      'alpine.local.lock.json',
    ]) {
      expect(inputs).toContain(part);
    }
  });

  test('is tested again when apko changes, which some of its tests make images with', () => {
    expect(inputsOf('test')).toContain('tools/apko/module');
  });

  test('takes from the cache what the tools made in a container, and the other way round', () => {
    for (const name of Object.keys(targets)) expect(inputsOf(name)).not.toContain('SOVEREIGN_TOOLS');
  });

  test('never serves what touches a device from a cache, and never two at once', () => {
    for (const name of ['deploy', 'start', 'stop', 'verify']) {
      expect(targets[name]).toMatchObject({ cache: false, parallelism: false });
    }
  });
});

test('a service that the base has not can be locked there, and nothing else', () => {
  expect(Object.keys(withoutImage(targets))).toEqual(['lock']);
});

test('every executor has an implementation, and a schema that refuses unknown options', () => {
  const folder = join(root, 'tools/executors');
  const { executors } = JSON.parse(readFileSync(join(folder, 'executors.json'), 'utf8')) as {
    executors: Record<string, { implementation: string; schema: string }>;
  };
  const folders = readdirSync(join(folder, 'src'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(folder, 'src', entry.name, 'executor.ts')))
    .map(({ name }) => name);
  expect(Object.keys(executors).sort()).toEqual(folders.sort());
  for (const { implementation, schema } of Object.values(executors)) {
    expect(existsSync(join(folder, implementation))).toBe(true);
    const parsed = JSON.parse(readFileSync(join(folder, schema), 'utf8')) as Record<string, unknown>;
    expect(parsed).toMatchObject({ additionalProperties: false });
  }
});

test.each(['tools/docker-engine', 'tools/test-mirror'])(
  'every folder that %s names as an input is there',
  (folder) => {
    const { targets: own } = JSON.parse(readFileSync(join(root, folder, 'project.json'), 'utf8')) as {
      targets: Record<string, { inputs?: unknown[] }>;
    };
    const named = JSON.stringify(own.test?.inputs).matchAll(
      /"\{workspaceRoot\}\/([\w./-]+?)(?:\/\*\*?)?(?:\/\*)?"/g,
    );
    for (const [, path = ''] of named) expect(existsSync(join(root, path)), path).toBe(true);
  },
);
