import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { capabilitiesOf } from '../testing/phone.ts';
import { fixArguments, fixScript, fixes, undoScript } from './fix.ts';

const unset = { monitor: 'null', limit: 'null', sync: 'none' };

/** Stand-in for `settings` and `device_config`: a file a key; `refuse` there makes it fail as a phone may. */
const keeper = (folder: string): string => `#!/usr/bin/mksh
folder='${folder}'
[ ! -e "$folder/refuse" ] || exit 255
case $1 in
get) [ -e "$folder/$2 $3" ] && cat "$folder/$2 $3" || echo null ;;
put) echo "$4" >"$folder/$2 $3" ;;
delete) rm "$folder/$2 $3" ;;
get_sync_disabled_for_tests) [ -e "$folder/sync" ] && cat "$folder/sync" || echo none ;;
set_sync_disabled_for_tests) if [ "$2" = none ]; then rm -f "$folder/sync"; else echo "$2" >"$folder/sync"; fi ;;
*) exit 1 ;;
esac
`;

/** A device's folder and what a phone keeps, with the shell and the tools of a phone. */
function phone() {
  const root = mkdtempSync(join(tmpdir(), 'sovereign fix '));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const [bin, kept, device] = ['bin', 'kept', 'device'].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  for (const folder of [bin, kept, device]) mkdirSync(folder);
  for (const tool of ['cat', 'grep', 'mkdir', 'rm']) symlinkSync('/usr/bin/toybox', join(bin, tool));
  for (const name of ['settings', 'device_config']) {
    writeFileSync(join(bin, name), keeper(kept));
    chmodSync(join(bin, name), 0o755);
  }
  return {
    kept: () =>
      Object.fromEntries(
        readdirSync(kept).map((name) => [name, readFileSync(join(kept, name), 'utf8').trim()]),
      ),
    keep: (name: string, value: string) => writeFileSync(join(kept, name), `${value}\n`),
    free: (name: string) => rmSync(join(kept, name)),
    before: () => {
      const path = join(device, 'settings.before');
      return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : undefined;
    },
    run: (script: string, args: readonly string[] = []) =>
      spawnSync('/usr/bin/mksh', ['-c', script, 'sh', device, ...args], {
        env: { PATH: bin },
        encoding: 'utf8',
      }),
  };
}

const wanted = fixArguments(fixes);

test('what is set is needed on a phone that has not got it, and not again after it', () => {
  const needed = (phantom: typeof unset) =>
    fixes.filter((fix) => fix.needed(capabilitiesOf(14, { phantom }))).map(({ name }) => name);
  expect(needed(unset)).toEqual(['phantom killer']);
  expect(needed({ ...unset, monitor: 'false' })).toEqual([]);
  expect(needed({ monitor: 'null', limit: '2147483647', sync: 'persistent' })).toEqual([]);
  expect(needed({ monitor: 'null', limit: '2147483647', sync: 'none' })).toEqual(['phantom killer']);
});

test('a phone is fixed, and is afterwards as it was', () => {
  const { run, kept, keep, before } = phone();
  keep('global settings_enable_monitor_phantom_procs', 'true');
  keep('global other', 'untouched');
  expect(run(fixScript, wanted)).toMatchObject({ status: 0, stderr: '' });
  expect(kept()).toEqual({
    sync: 'persistent',
    'activity_manager max_phantom_processes': '2147483647',
    'global settings_enable_monitor_phantom_procs': 'false',
    'global other': 'untouched',
  });
  expect(before()).toEqual([
    'sync - none',
    'config activity_manager/max_phantom_processes null',
    'setting global/settings_enable_monitor_phantom_procs true',
  ]);
  expect(run(undoScript)).toMatchObject({ status: 0 });
  expect(kept()).toEqual({
    'global settings_enable_monitor_phantom_procs': 'true',
    'global other': 'untouched',
  });
  expect(before()).toBeUndefined();
});

test('a second fix forgets nothing of what stood before the first', () => {
  const { run, before } = phone();
  run(fixScript, wanted);
  const first = before();
  expect(run(fixScript, wanted).status).toBe(0);
  expect(before()).toEqual(first);
  expect(first).toContain('config activity_manager/max_phantom_processes null');
});

test('taking back what was never set, or is gone already, changes nothing', () => {
  const { run, kept, free } = phone();
  expect(run(undoScript)).toMatchObject({ status: 0, stdout: '', stderr: '' });
  run(fixScript, wanted);
  free('activity_manager max_phantom_processes');
  expect(run(undoScript).status).toBe(0);
  expect(kept()).toEqual({});
});

test('a phone that refuses a setting fails the fix, and what was noted stays noted', () => {
  const { run, keep, free, kept, before } = phone();
  run(fixScript, wanted);
  keep('refuse', '');
  expect(run(undoScript).status).toBe(1);
  expect(before()).toHaveLength(3);
  expect(run(fixScript, wanted).status).toBe(1);
  free('refuse');
  expect(run(undoScript).status).toBe(0);
  expect(kept()).toEqual({});
});

test('the scripts are clean by shellcheck', { timeout: 30_000 }, () => {
  for (const input of [fixScript, undoScript]) {
    execFileSync('shellcheck', ['--norc', '--shell', 'sh', '-'], { input });
  }
});
