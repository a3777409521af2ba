import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from 'vitest';
import { type Shell, shells } from './testing/device-folder.ts';
import { PATIENT, test } from './testing/launcher-test.ts';

describe.concurrent.for(Object.keys(shells) as Shell[])('under %s', { timeout: 180_000 }, (shell) => {
  test('launcher and keeper go over to a new launcher, the VM kept', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    device.install('old');
    await device.start();
    const { pid, since, launcher } = await device.until({ state: 'running' });
    await expect.poll(() => device.status('-'), PATIENT).toHaveProperty('keeper');
    device.install('new');
    await expect.poll(() => device.read('log/launcher.log'), PATIENT).toMatch(/launcher new has taken over/);
    const running = await device.until({ state: 'running', health: 'ok' });
    // Not for a moment was it anything but running.
    expect(running).toMatchObject({ pid, since, launcher, restarts: '0' });
    expect(running).not.toHaveProperty('attention');
    const log = () => readFileSync(join(device.root, 'keeper/log/keeper.log'), 'utf8');
    await expect.poll(log, PATIENT).toMatch(/keeper of launcher new begins/);
    await expect.poll(() => existsSync(join(device.root, 'keeper/state/before')), PATIENT).toBe(false);
    expect(device.current).toBe('new');
    expect(readFileSync(join(device.root, 'agent/good'), 'utf8')).toBe('new\n');
    expect(device.journal().filter((line) => line.startsWith('power-on'))).toHaveLength(1);
    expect((await device.stop(10)).status).toBe(0);
    expect(await device.status()).toMatchObject({ state: 'stopped', exit: '0' });
    await expect.poll(() => device.processes(), PATIENT).toEqual([]);
  });

  test.for([
    ['cannot be read', { 'broken() { (': '' }, /broken was not taken: it does not start up/],
    ['ends at once', { supervise: 'exit 1' }, /broken was taken back: it ended/],
    ['never reads the channel', { control_read: ':' }, /broken was taken back: no health within 6 s/],
    ['does nothing at all', { supervise: 'sleep 120' }, /broken was taken back: it did not end by itself/],
    ['has no keeper', { keep: 'exit 1' }, /broken was taken back: its keeper did not last/],
  ] as const)(
    'a new launcher that %s is taken back, the VM kept',
    async ([what, changed, why], { expect, service }) => {
      const device = service(shell, 'healthy', { deadline: '6' });
      device.install('old');
      await device.start();
      const { pid } = await device.until({ state: 'running' });
      await expect.poll(() => device.status('-'), PATIENT).toHaveProperty('keeper');
      device.install('broken', changed);
      await expect.poll(() => device.current, { timeout: 60_000 }).toBe('old');
      const whose = what === 'has no keeper' ? '-' : 'sql';
      await device.until({ attention: why }, 60, whose);
      await device.until({ state: 'running', health: 'ok', pid: pid ?? '' });
      await expect.poll(() => device.read('state/launcher-agent'), PATIENT).toBe('old');
      await expect.poll(() => device.status('-'), PATIENT).toHaveProperty('keeper');
      expect(readFileSync(join(device.root, 'agent/good'), 'utf8')).toBe('old\n');
      expect(device.journal().filter((line) => line.startsWith('power-on'))).toHaveLength(1);
    },
  );

  test('a launcher that is chosen while the keeper looks is not gone over to before it has proven itself', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    // After its look at the services, before it would go over itself.
    device.install('old', {
      awake_keep: 'if [ -e hold ]; then : >held; fi; while [ -e hold ]; do sleep 1 9>&-; done',
    });
    await device.start();
    await device.until({ state: 'running' });
    await expect.poll(() => device.status('-'), PATIENT).toHaveProperty('keeper');
    const inKeeper = (name: string) => join(device.root, 'keeper', name);
    writeFileSync(inKeeper('hold'), '');
    await expect.poll(() => existsSync(inKeeper('held')), PATIENT).toBe(true);
    device.install('broken', { supervise: 'exit 1' });
    rmSync(inKeeper('hold'));
    await device.until({ attention: /broken was taken back: it ended/, state: 'running' });
    expect(readFileSync(inKeeper('log/keeper.log'), 'utf8')).not.toMatch(/keeper of launcher broken/);
  });

  test('a service that is ill keeps its launcher: nobody could tell whether another one does better', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'ill', { deadline: '1' });
    device.install('old');
    await device.start();
    await device.until({ attention: /not healthy 1 s after the start/ });
    device.install('new');
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(device.read('state/launcher-agent')).toBe('old');
  });

  test('a killed launcher comes back as the one that runs, not as one that nobody has tried', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'ill');
    device.install('old');
    await device.start();
    const { launcher } = await device.until({ launcher: /./ });
    await expect.poll(() => device.status('-'), PATIENT).toHaveProperty('keeper');
    device.install('broken', { supervise: 'exit 1' });
    process.kill(Number(launcher), 'SIGKILL');
    await device.until({ launcher: new RegExp(`^(?!${launcher ?? ''}$)\\d+$`) });
    expect(device.read('state/launcher-agent')).toBe('old');
  });
});
