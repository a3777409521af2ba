import { setTimeout as sleep } from 'node:timers/promises';
import { describe, vi } from 'vitest';
import { type Shell, shells, type DeviceFolder } from './testing/device-folder.ts';
import { PATIENT, test } from './testing/launcher-test.ts';

const times = (device: DeviceFolder) => device.journal().filter((line) => line === 'time EPOCH').length;
/** How often a healthy guest was sent the time: not before that of its hello has come. */
const timesAtFirst = async (device: DeviceFolder): Promise<number> => {
  await vi.waitUntil(() => times(device) > 0, { ...PATIENT, interval: 50 });
  return times(device);
};

describe.concurrent.for(Object.keys(shells) as Shell[])('under %s', { timeout: 180_000 }, (shell) => {
  test('a guest is sent the time again after the device slept', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid, launcher } = await device.until({ health: 'ok' });
    const before = await timesAtFirst(device);
    // A stand-in for sleep: everything stands still while the uptime goes on.
    for (const id of [launcher, pid]) process.kill(Number(id), 'SIGSTOP');
    await sleep(18_000);
    for (const id of [pid, launcher]) process.kill(Number(id), 'SIGCONT');
    await expect.poll(() => times(device), PATIENT).toBeGreaterThan(before);
    expect(device.read('log/launcher.log')).toMatch(/slept for about \d+ s/);
    // The guest slept too: it is not called silent for it.
    expect(device.read('log/launcher.log')).not.toContain('says nothing');
  });

  test('a guest whose clock is wrong is sent the time, and one whose clock is right is not', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    await device.until({ health: 'ok' });
    const before = await timesAtFirst(device);
    const tells = (seconds: number) => device.write('guest-clock', `${Math.floor(seconds)}\n`);
    tells(Date.now() / 1000);
    await expect
      .poll(() => device.read('agent.out')?.match(/ beat \d{10}/g)?.length ?? 0, PATIENT)
      .toBeGreaterThan(2);
    // What comes after it is answered: the beats were read.
    expect(await device.launch('ask', device.root, 'sql', '10', 'look')).toMatchObject({ status: 0 });
    expect(times(device)).toBe(before);
    // 1970, and a year that is far.
    for (const clock of [86_400, 2_208_988_800]) {
      const sent = times(device);
      tells(clock);
      await expect.poll(() => times(device), PATIENT).toBeGreaterThan(sent);
    }
  });

  test('a guest is sent the time again when the device’s clock was set', async ({ expect, service }) => {
    const device = service(shell, 'healthy', { 'log-interval': '1' });
    await device.start();
    await device.until({ health: 'ok' });
    const before = await timesAtFirst(device);
    // A stand-in for a clock: a year ahead.
    device.program(
      'date',
      'case "$*" in +%s) ;; *) echo 2026-01-01T00:00:00Z; exit ;; esac',
      'read -r up _ </proc/uptime',
      'echo $((1790000000 + ${up%.*}))',
    );
    await expect.poll(() => times(device), PATIENT).toBeGreaterThan(before);
    expect(device.read('log/launcher.log')).not.toContain('slept');
  });
});
