import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { bootHook, hookPath } from './hook.ts';

/** Runs the hook as a phone boots, with these launchers; gives what they said. */
async function boots(launchers: Record<string, string>, chosen: Record<string, string>): Promise<string> {
  const root = mkdtempSync(join(tmpdir(), 'sovereign-hook-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, 'agent'));
  writeFileSync(join(root, 'said'), '');
  for (const [name, script] of Object.entries(launchers)) {
    mkdirSync(join(root, 'agent', name));
    writeFileSync(join(root, 'agent', name, 'launch.sh'), `echo "${name} $*" >>"$2/said"\n${script}\n`);
  }
  for (const [name, launcher] of Object.entries(chosen))
    writeFileSync(join(root, 'agent', name), `${launcher}\n`);
  // This machine has no /system.
  const hook = bootHook(root).replaceAll('/system/bin/sh', 'mksh');
  await execa('mksh', ['-c', hook], { reject: false });
  return readFileSync(join(root, 'said'), 'utf8').replaceAll(root, 'ROOT');
}

test('the launcher that is current is started', async () => {
  expect(await boots({ one: 'exit 0', two: 'exit 0' }, { current: 'two', good: 'one' })).toBe(
    'two boot ROOT\n',
  );
});

test('where it does not start, the one that was good last is', async () => {
  expect(await boots({ one: 'exit 0', two: 'if (' }, { current: 'two', good: 'one' })).toMatch(
    /one boot ROOT\n$/,
  );
  expect(await boots({ one: 'exit 0' }, { current: 'gone', good: 'one' })).toBe('one boot ROOT\n');
});

test('nothing happens once Sovereign was removed', async () => {
  expect(await boots({}, {})).toBe('');
});

test('each flavour that runs hooks has one, and no other', () => {
  for (const flavour of ['magisk', 'kernelsu', 'apatch'] as const)
    expect(hookPath(flavour)).toMatch(/^\/data\/adb\//);
  for (const flavour of ['adbd', 'userdebug', 'none'] as const) expect(hookPath(flavour)).toBeUndefined();
});
