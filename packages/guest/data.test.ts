import { execFileSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { shells, StandInGuest } from './testing/scripts.ts';

const UUID = '3f1c6b1e-2b6f-4a52-9d0e-5a3c1f4e8b7d';
const MIB = 1024 * 1024;

describe.each(shells)('the data disk under %s', (_name, shell) => {
  let guest: StandInGuest;
  let disk: string;
  beforeEach(() => {
    guest = new StandInGuest(shell);
    disk = guest.path('disk');
    writeFileSync(disk, '');
    size(96);
  });
  afterEach(() => guest.remove());

  const size = (mebibytes: number) => truncateSync(disk, mebibytes * MIB);
  const run = (mebibytes: number, script: string) =>
    guest.run(`. "$SOVEREIGN_LIB/data.sh"; tail_at=$((${mebibytes * MIB} - DATA_TAIL)); ${script}`);
  const header = (): Map<string, string> =>
    new Map(
      execFileSync('dumpe2fs', ['-h', disk], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
        .split('\n')
        .map((line) => line.split(/:\s+/) as [string, string]),
    );

  test('has exactly the features that are chosen, whatever this mke2fs would add', () => {
    expect(run(96, `data_format '${disk}' ${UUID}`)).toMatchObject({ status: 0 });
    const seen = header();
    expect(seen.get('Filesystem UUID')).toBe(UUID);
    expect(seen.get('Filesystem features')?.split(' ').sort()).toEqual(
      (
        '64bit dir_index dir_nlink ext_attr extent extra_isize filetype flex_bg has_journal huge_file large_file ' +
        'metadata_csum resize_inode sparse_super'
      ).split(' '),
    );
    expect(Number(seen.get('Block count'))).toBe((96 * MIB - 65_536) / 4096);
  });

  test('grows up to its tail, keeps what it is, and once more changes nothing', () => {
    run(96, `data_format '${disk}' ${UUID}`);
    size(160);
    expect(run(160, `data_grow '${disk}'`).stdout).toContain('the file system follows by 64 MiB');
    expect(Number(header().get('Block count'))).toBe((160 * MIB - 65_536) / 4096);
    expect(header().get('Filesystem UUID')).toBe(UUID);
    expect(run(160, `data_grow '${disk}'`)).toMatchObject({ status: 0, stdout: '' });
    execFileSync('e2fsck', ['-f', '-n', disk], { stdio: 'ignore' });
  });

  test('is unmounted once nobody looks into it any more, and said to be held where somebody goes on', () => {
    const tries = guest.path('tries');
    const held = (times: number) =>
      guest.program(
        'umount',
        `echo >>'${tries}'; [ $(wc -l <'${tries}') -gt ${times} ] || { echo held >&2; exit 1; }`,
      );
    guest.program('sleep', ':');
    held(3);
    expect(run(96, 'data_unmount')).toMatchObject({ status: 0, stderr: '' });
    held(1000);
    expect(run(96, 'data_unmount')).toMatchObject({ status: 1, stderr: 'held\n' });
  });

  test('is used as it is where it cannot grow', () => {
    run(96, `data_format '${disk}' ${UUID}`);
    size(160);
    guest.program('resize2fs', 'exit 1');
    expect(run(160, `data_grow '${disk}'`)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('did not grow') as string,
    });
  });
});

test.each([
  ['', 'noatime,nosuid,nodev,noexec,errors=remount-ro'],
  ['data-programs yes\n', 'noatime,nosuid,nodev,errors=remount-ro'],
])('no program is run from the data disk, unless the service says so: %j', async (line, options) => {
  const guest = new StandInGuest(['busybox', 'ash']);
  guest.write('service.conf', `name demo\n${line}`);
  guest.program('mount', 'echo "$*"');
  const seen = guest.run('. "$SOVEREIGN_LIB/data.sh"; data_mount /dev/vdb');
  await guest.remove();
  expect(seen.stdout.split(' ').slice(0, 4)).toEqual(['-t', 'ext4', '-o', options]);
});

test.each([
  [1, 'the data disk was damaged and is repaired', 0],
  [0, '', 0],
  [4, '', 1],
])('e2fsck that ends with %i says %j', async (checked, said, status) => {
  const guest = new StandInGuest(['busybox', 'ash']);
  guest.program('e2fsck', `exit ${checked}`);
  // The first try fails, as with a file system that the kernel refuses.
  const script = 'data_mount() { [ -n "$tried" ] || { tried=yes; return 1; }; }; data_mount_checked /dev/vdb';
  const seen = guest.run(`. "$SOVEREIGN_LIB/data.sh"; ${script}`);
  await guest.remove();
  expect(seen.status).toBe(status);
  expect(seen.stdout.trim()).toBe(said === '' ? '' : `sovereign: ${said}`);
});
