import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { TargetConfiguration } from '@nx/devkit';
import { workspaceRoot } from '@sovereign/store';
import { describe, expect, it } from 'vitest';
import { serviceTargets } from './service.ts';

const root = workspaceRoot();
const here = join(root, 'tools/executors');

const json = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, 'utf8'));

interface Entry {
  implementation: string;
  schema: string;
  description: string;
}
const { executors } = (await json(join(here, 'executors.json'))) as { executors: Record<string, Entry> };

const projects = [
  'packages/kernel',
  'packages/device-agent',
  'packages/network',
  'libs/go',
  'libs/tools',
  'libs/backup',
  'tools/apko',
];
const declared = await Promise.all(
  projects.map(async (project) => {
    const { targets } = (await json(join(root, project, 'project.json'))) as {
      targets: Record<string, TargetConfiguration>;
    };
    return Object.entries(targets).map(([name, target]) => [`${project}:${name}`, target] as const);
  }),
);
const service = Object.entries(serviceTargets('packages/rootfs-sql'));
/** Every target that runs an executor of ours. */
const ours = [
  ...service.map(([name, target]) => [`a service:${name}`, target] as const),
  ...declared.flat(),
].filter(([, target]) => target.executor?.startsWith('@sovereign/executors:') === true);

describe.each(Object.entries(executors))('the executor %s', (name, entry) => {
  it('is a function, with a strict schema and a description', async () => {
    const module = (await import(pathToFileURL(join(here, entry.implementation)).href)) as {
      default: unknown;
    };
    expect(module.default).toBeTypeOf('function');
    expect(entry.description).not.toBe('');
    // A misspelt option is refused instead of ignored.
    expect(await json(join(here, entry.schema))).toMatchObject({ version: 2, additionalProperties: false });
  });

  it('has a target that uses it', () => {
    expect(ours.map(([, target]) => target.executor)).toContain(`@sovereign/executors:${name}`);
  });
});

describe.each(ours)('the target %s', (_, target) => {
  const name = target.executor?.split(':')[1] ?? '';

  it('runs an executor that is there', () => {
    expect(existsSync(join(here, dirname(executors[name]?.implementation ?? 'none')))).toBe(true);
  });

  it('says what it is for', () => {
    expect(target.metadata?.description).toMatch(/\S/);
  });

  it('is cached by declared inputs, its own sources among them, or never', () => {
    if (target.cache !== true) {
      expect(target.cache).toBe(false);
      return;
    }
    // Nx does not hash an executor's sources by itself: without them an edit gives the old artifact.
    expect(target.inputs).toContain(`{workspaceRoot}/tools/executors/src/${name}/**/*`);
    expect(target.inputs).toContain('executorShared');
    expect(target.outputs).not.toHaveLength(0);
  });
});

it.each(['deploy', 'start', 'stop', 'verify'])('%s has the device to itself', (name) => {
  expect(serviceTargets('packages/rootfs-sql')[name]).toMatchObject({ cache: false, parallelism: false });
});
