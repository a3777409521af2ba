import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from 'vitest';
import type { DeviceFolder, Shell } from './testing/device-folder.ts';
import { PATIENT, test } from './testing/launcher-test.ts';

const OLD = { format: 'demo-1' };
const NEW = { format: 'demo-2' };
const RELEASE_B = (device: DeviceFolder): string =>
  /^release (\S+)$/m.exec(device.read('b/launch') ?? '')?.[1] ?? '';

/** Files of the disk, and what says whose it is. */
const disks = (device: DeviceFolder): string[] =>
  readdirSync(device.service)
    .filter((name) => name.startsWith('data.') || name === 'trial-data')
    .sort();
const inode = (device: DeviceFolder): number => statSync(join(device.service, 'data.img')).ino;

/** A trial of a release that behaves in this way, over data of another format. */
function trial(device: DeviceFolder, behaviour: string, launch: Record<string, string> = NEW): void {
  // The real one waits for whatever all of this machine has written.
  device.program('sync');
  device.write('data.img', 'data\n');
  device.slot('b', behaviour, launch);
  device.write('trial', 'b 0 - 0\n');
}

describe.concurrent.for(['mksh with toybox', 'dash'] satisfies Shell[])(
  'under %s',
  { timeout: 180_000 },
  (shell) => {
    test('a trial that fails after it changed the data: slot and data are back as they were', async ({
      expect,
      service,
    }) => {
      const device = service(shell, 'healthy', OLD);
      trial(device, 'spoils', { ...NEW, deadline: '15' });
      const before = inode(device);
      await device.start();
      await device.until({ slot: 'b', trial: 'yes', stage: 'booting' });
      expect(device.read('data.img')).toBe('data\nspoils');
      expect(device.read('data.old')).toBe('data');
      const back = await device.until({ state: 'running', slot: 'a', health: 'ok' });
      expect(back).toMatchObject({ current: 'a', attention: expect.stringMatching(/taken back/) as string });
      expect(device.read('data.img')).toBe('data');
      // Not a copy of it: the disk itself.
      expect(inode(device)).toBe(before);
      expect(disks(device)).toEqual(['data.img']);
    });

    test('a trial that passes keeps the changed data, and the old disk is gone', async ({
      expect,
      service,
    }) => {
      const device = service(shell, 'healthy', OLD);
      trial(device, 'changes');
      await device.start();
      await device.until({ current: 'b', state: 'running', health: 'ok' });
      await expect.poll(() => disks(device), PATIENT).toEqual(['data.img']);
      await expect.poll(() => device.journal(), PATIENT).toContain('open');
      expect(device.read('data.img')).toBe('data\nchanges');
      expect((await device.stop(10)).status).toBe(0);
      await device.start();
      await device.until({ state: 'running', slot: 'b', health: 'ok' });
      expect(disks(device)).toEqual(['data.img']);
    });

    test('a trial of the same format works on the data itself', async ({ expect, service }) => {
      const device = service(shell, 'healthy', OLD);
      trial(device, 'changes', OLD);
      const before = inode(device);
      await device.start();
      await device.until({ current: 'b', state: 'running' });
      expect([inode(device), device.read('data.img')]).toEqual([before, 'data\nchanges']);
    });

    test('a trial is not begun where there is no space for the copy', async ({ expect, service }) => {
      const device = service(shell, 'healthy', OLD);
      trial(device, 'changes');
      device.program('df', 'echo header', 'echo "disk 2000000 1000000 400 50% /"');
      await device.start();
      const back = await device.until({ state: 'running', slot: 'a', health: 'ok' });
      expect(back.attention).toMatch(
        /taken back: no space for a copy of the data: 1 MiB are needed, 0 are free/,
      );
      expect(device.read('data.img')).toBe('data');
      expect(disks(device)).toEqual(['data.img']);
    });

    test('a thin disk takes all its length where it is copied on a phone, whose cp fills the holes', async ({
      expect,
      service,
    }) => {
      const device = service(shell, 'healthy', OLD);
      device.settings({ kind: 'adb' });
      trial(device, 'changes');
      // More than mksh counts in bytes.
      truncateSync(join(device.service, 'data.img'), 3e9);
      device.program('df', 'echo header', 'echo "disk 9000000 8000000 1000000 50% /"');
      await device.start();
      const back = await device.until({ state: 'running', slot: 'a', health: 'ok' });
      expect(back.attention).toMatch(/no space for a copy of the data: 3001 MiB are needed, 976 are free/);
      expect(disks(device)).toEqual(['data.img']);
    });

    test('a service that is asked to stop while its data is copied stops, and nothing is changed', async ({
      expect,
      service,
    }) => {
      const device = service(shell, 'healthy', OLD);
      trial(device, 'changes');
      const go = join(device.root, 'go');
      device.program('cp', `until [ -e "${go}" ]; do sleep 1; done`, 'cat "$1" >"$2"');
      await device.start();
      await device.until({ state: 'starting', stage: 'copy' });
      expect((await device.stop(5)).status).toBe(0);
      expect(await device.status()).toMatchObject({ state: 'stopped' });
      expect([device.read('data.img'), disks(device)]).toEqual(['data', ['data.img']]);
      device.program('cp', 'cat "$1" >"$2"');
      await device.start();
      await device.until({ current: 'b', state: 'running', health: 'ok' });
    });

    test('a copy that fails takes the release back', async ({ expect, service }) => {
      const device = service(shell, 'healthy', OLD);
      trial(device, 'changes');
      device.program('cp', 'echo half >"$2"', 'exit 1');
      await device.start();
      const back = await device.until({ state: 'running', slot: 'a', health: 'ok' });
      expect(back.attention).toMatch(/taken back: the data could not be copied/);
      expect([device.read('data.img'), disks(device)]).toEqual(['data', ['data.img']]);
    });

    test('the copy of a release that was tried before is not the next one’s', async ({ expect, service }) => {
      const device = service(shell, 'healthy', OLD);
      trial(device, 'spoils', { ...NEW, deadline: '60' });
      await device.start();
      await device.until({ slot: 'b', stage: 'booting' });
      device.slot('b', 'changes', NEW);
      device.write('trial', 'b 0 - 0\n');
      await device.start();
      await device.until({ current: 'b', state: 'running', health: 'ok' });
      await expect.poll(() => disks(device), PATIENT).toEqual(['data.img']);
      expect(device.read('data.img')).toBe('data\nchanges');
    });

    test.for(['copied', 'said', 'moved', 'swapped', 'taken back', 'kept', 'old disk removed'])(
      'cut off when it was %s, the next start finds the right disk',
      async (cut, { expect, service }) => {
        const device = service(shell, 'healthy', OLD);
        device.slot('b', 'healthy', NEW);
        const files: Record<string, string> = {
          copied: 'data.img=old data.copy-1-2=copy',
          said: 'data.img=old data.copy-1-2=copy trial-data',
          moved: 'data.old=old data.copy-1-2=copy trial-data',
          swapped: 'data.old=old data.img=changed trial-data',
          'taken back': 'data.img=old trial-data',
          kept: 'data.old=old data.img=changed trial-data current=b',
          'old disk removed': 'data.img=changed trial-data current=b',
        };
        for (const word of (files[cut] ?? '').split(' ')) {
          const [name = '', content = `b ${RELEASE_B(device)}`] = word.split('=');
          device.write(name, `${content}\n`);
        }
        const kept = device.read('current') === 'b';
        // Without the trial, which is over; `settle` does the same while nothing runs.
        if (cut === 'swapped' || cut === 'kept') {
          expect(await device.launch('settle', device.root, 'sql')).toMatchObject({ status: 0, stderr: '' });
        } else {
          await device.start();
          await device.until({ state: 'running', health: 'ok', slot: kept ? 'b' : 'a' });
        }
        expect([device.read('data.img'), disks(device)]).toEqual([kept ? 'changed' : 'old', ['data.img']]);
      },
    );

    test('settle changes nothing while the service runs, or while a release is on trial', async ({
      expect,
      service,
    }) => {
      const device = service(shell, 'healthy', OLD);
      device.write('data.img', 'changed\n');
      device.write('data.old', 'old\n');
      device.write('trial-data', `b ${'0'.repeat(64)}\n`);
      device.write('trial', 'b 0 - 0\n');
      const settle = () => device.launch('settle', device.root, 'sql');
      expect((await settle()).stderr).toMatch(/on trial/);
      expect(readFileSync(join(device.service, 'data.img'), 'utf8')).toBe('changed\n');
      rmSync(join(device.service, 'trial'));
      await device.start();
      await device.until({ state: 'running', health: 'ok' });
      expect(existsSync(join(device.service, 'data.old'))).toBe(false);
      expect((await settle()).stderr).toMatch(/launcher of sql runs/);
    });
  },
);
