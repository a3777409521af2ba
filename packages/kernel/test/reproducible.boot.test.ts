import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openToolRoot, type ToolRoot } from '@sovereign/tools';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { builtConfig, compileObjects, LEAST_OBJECTS, someTargets } from './objects.ts';

/** `SOVEREIGN_LONG=1` builds the whole Image instead of some objects. */
const long = process.env.SOVEREIGN_LONG === '1';

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'kernel-twice-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

const targets = long ? ['Image'] : someTargets;
const timeout = long ? 7_200_000 : 600_000;

let tools: ToolRoot;
let config: string;
let first: Map<string, string>;
beforeAll(async () => {
  tools = await openToolRoot();
  config = await builtConfig();
  first = await compileObjects(tools, join(folder, 'first'), targets, config);
}, timeout);

test('two builds in two folders give the same objects', { timeout }, async () => {
  const second = await compileObjects(
    tools,
    join(folder, 'the second, whose path is longer'),
    targets,
    config,
  );
  expect(first.size).toBeGreaterThanOrEqual(LEAST_OBJECTS);
  expect(second).toEqual(first);
});

test(
  'a build among the objects of another configuration gives those of one from nothing',
  { timeout },
  async () => {
    const tree = join(folder, 'kept');
    // It reaches members of structures that many sources include.
    const without = config.replace('CONFIG_MEMCG=y\n', '# CONFIG_MEMCG is not set\n');
    const before = await compileObjects(tools, tree, targets, without);
    expect([...first].filter(([name, digest]) => before.get(name) !== digest).length).toBeGreaterThan(10);
    expect(await compileObjects(tools, tree, targets, config)).toEqual(first);
  },
);
