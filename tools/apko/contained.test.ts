import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ToolRoot } from '@sovereign/tools';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { containedApko } from './contained.ts';

let folder: string;
let asked: Parameters<ToolRoot['run']>[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'contained-'));
  asked = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Stands in for the tools: runs the command as a process of this machine, where the folders would be bound. */
const standIn: Pick<ToolRoot, 'arch' | 'run'> = {
  arch: 'arm64',
  async run(argv, options = {}) {
    asked.push([argv, options]);
    const at = (path: string) =>
      (options.binds ?? []).reduce((found, { source, target }) => found.replace(target, source), path);
    const [command = '', ...args] = argv.map(at);
    const tool = execa(command, args, { cwd: at(options.cwd ?? '/'), reject: false, detached: true });
    // With all that it started, as a container ends.
    const end = () => tool.pid !== undefined && process.kill(-tool.pid, 'SIGKILL');
    options.signal?.addEventListener('abort', end, { once: true });
    const { failed } = await tool;
    options.signal?.removeEventListener('abort', end);
    options.signal?.throwIfAborted();
    if (failed) throw new Error('the tool failed');
  },
};

const program = (script: string) => (arch: string) => {
  const path = join(folder, `apko.${arch}`);
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return Promise.resolve(path);
};
const apko = (script: string, deadline?: number) =>
  containedApko(() => Promise.resolve(standIn), program(script), deadline);

test('apko for the architecture of the container runs in the folder, and what it says is told apart', async () => {
  const run = apko('pwd; printf "%s|" "$@"; echo bad >&2; exit 3');
  expect(await run(['build', 'two words', '$(id)'], folder)).toEqual({
    exitCode: 3,
    stdout: `${folder}\nbuild|two words|$(id)|`,
    stderr: 'bad\n',
  });
  const [[argv, options] = []] = asked;
  expect(argv).toContain('/src/apko.arm64');
  expect(options?.cwd).toBe('/out');
  expect(options?.binds?.filter(({ write }) => write)).toEqual([
    { source: folder, target: '/out', write: true },
  ]);
});

test('one that takes too long is stopped', async () => {
  expect(await apko('exec sleep 1000', 100)([], folder)).toMatchObject({ timedOut: true });
});

test('tools that fail are not taken for apko', async () => {
  await expect(apko('true')([], join(folder, 'missing'))).rejects.toThrow('the tool failed');
});
