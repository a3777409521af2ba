import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { localApko, runApko } from './apko.ts';

let folder: string;
let program: string;

/** Stands in for an apko that never ends. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'apko-'));
  program = join(folder, 'apko');
  writeFileSync(program, '#!/bin/sh\nexec sleep 1000\n', { mode: 0o755 });
});
afterEach(() => rmSync(folder, { recursive: true }));

test('an apko that hangs is stopped at its deadline, and that is said', async () => {
  const run = localApko(() => Promise.resolve(program), 100);
  await expect(runApko(run, { verb: 'version' }, folder)).rejects.toMatchObject({
    code: 'apko-failed',
    what: expect.stringContaining('did not come to an end') as string,
  });
});
