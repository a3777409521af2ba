import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from 'vitest';
import { type DeviceFolder, type Shell, shells } from './testing/device-folder.ts';
import { PATIENT, test } from './testing/launcher-test.ts';

const text = (device: DeviceFolder, file: string): string => {
  try {
    return readFileSync(join(device.root, file), 'utf8').trim();
  } catch {
    return '';
  }
};
/** CAP_SYS_RESOURCE, which root lacks in some containers: then the log has to say what could not be done. */
const MAY_RAISE_LIMITS =
  (BigInt(`0x${/CapEff:\s*(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`) &
    (1n << 24n)) !==
  0n;
const ENABLED = 'wifi force-hi-perf-mode enabled';
const DISABLED = 'wifi force-hi-perf-mode disabled';

describe.concurrent.for(Object.keys(shells) as Shell[])(
  'a phone, under %s',
  { timeout: 120_000 },
  (shell) => {
    test('is kept awake while a service is wanted, and no longer', async ({ expect, service }) => {
      const device = service(shell, 'healthy');
      device.asPhone({ awake: 'yes' });
      await device.start();
      await device.until({ state: 'running' });
      await expect.poll(() => text(device, 'asked'), PATIENT).toBe(ENABLED);
      expect(text(device, 'sys/power/wake_lock')).toBe('sovereign');
      expect(text(device, 'sys/power/wake_unlock')).toBe('');
      expect((await device.stop(10)).status).toBe(0);
      expect(text(device, 'asked')).toBe(`${ENABLED}\n${DISABLED}`);
      expect(text(device, 'sys/power/wake_unlock')).toBe('sovereign');
    });

    test('whose keeper was killed can fall asleep again after a halt', async ({ expect, service }) => {
      const device = service(shell, 'healthy');
      device.asPhone({ awake: 'yes' });
      await device.start();
      await device.until({ state: 'running' });
      await expect.poll(() => text(device, 'asked'), PATIENT).toBe(ENABLED);
      await device.abandon();
      expect((await device.launch('halt', device.root, '10')).status).toBe(0);
      expect(text(device, 'asked')).toBe(`${ENABLED}\n${DISABLED}`);
      expect(text(device, 'sys/power/wake_unlock')).toBe('sovereign');
    });

    test('cannot take launcher, keeper and VM down with the service that started them', async ({
      expect,
      service,
    }) => {
      const device = service(shell, 'healthy');
      device.asPhone({ awake: 'yes' });
      await device.start();
      const { pid, launcher } = await device.until({ state: 'running' });
      await expect.poll(async () => (await device.status('-')).keeper, PATIENT).toBeDefined();
      const { keeper } = await device.status('-');
      const log = device.read('log/launcher.log') ?? '';
      const proc = (id: string | undefined, file: string) =>
        readFileSync(`/proc/${id ?? ''}/${file}`, 'utf8');
      if (MAY_RAISE_LIMITS) {
        for (const id of [pid, launcher, keeper]) {
          expect(proc(id, 'oom_score_adj')).toBe('-900\n');
          expect(proc(id, 'limits')).toMatch(/Max locked memory +unlimited +unlimited/);
        }
      } else {
        expect(log).toContain('not detached: /proc/self/oom_score_adj does not take -900');
        expect(log).toContain('not detached: the limit on locked memory stays');
      }
      // A stand-in for the kernel's file keeps the last one that left its cgroup.
      expect([launcher, keeper]).toContain(text(device, 'sys/fs/cgroup/cgroup.procs'));
    });
  },
);
