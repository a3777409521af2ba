import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openToolRoot } from '@sovereign/tools';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compileObjects, LEAST_OBJECTS, someTargets } from './objects.ts';

/** `SOVEREIGN_LONG=1` builds the whole Image twice instead. */
const long = process.env.SOVEREIGN_LONG === '1';

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'kernel-twice-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

test(
  long ? 'two builds in two folders give the same Image' : 'two builds in two folders give the same objects',
  { timeout: long ? 7_200_000 : 600_000 },
  async () => {
    const tools = await openToolRoot();
    const targets = long ? ['Image'] : someTargets;
    const first = await compileObjects(tools, join(folder, 'first'), targets);
    const second = await compileObjects(tools, join(folder, 'the second, whose path is longer'), targets);
    expect(first.size).toBeGreaterThanOrEqual(LEAST_OBJECTS);
    expect(second).toEqual(first);
  },
);
