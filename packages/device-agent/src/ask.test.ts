import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from 'vitest';
import { type Shell, shells } from './testing/device-folder.ts';
import { PATIENT, test } from './testing/launcher-test.ts';

describe.concurrent.for(Object.keys(shells) as Shell[])('under %s', { timeout: 180_000 }, (shell) => {
  test('a question reaches the guest, and its lines come back', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    await device.until({ health: 'ok' });
    const ask = (...words: string[]) => device.launch('ask', device.root, 'sql', '30', ...words);
    expect(await ask('look', 'example.com', '192.0.2.7', '443')).toEqual({
      status: 0,
      stdout: 'look example.com 192.0.2.7 443\nline 2 of it\n',
      stderr: '',
    });
    expect(await ask('mend', 'nothing')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('exit status 2') as string,
    });
    // Each question is passed on once, and the service goes on.
    expect(device.journal().filter((line) => line.startsWith('ask'))).toHaveLength(2);
    expect(existsSync(join(device.service, 'ask'))).toBe(false);
    expect(await device.status()).toMatchObject({ state: 'running', health: 'ok' });
  });

  test('`ask time` gives the guest the time of this device', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    await device.until({ health: 'ok' });
    const times = () => device.journal().filter((line) => line === 'time EPOCH').length;
    // That of its hello, which may be on its way yet.
    await expect.poll(times, PATIENT).toBe(1);
    expect(await device.launch('ask', device.root, 'sql', '30', 'time')).toMatchObject({ status: 0 });
    await expect.poll(times, PATIENT).toBe(2);
  });

  test('what is no plain word reaches no guest', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    await device.until({ health: 'ok' });
    for (const word of ['$(reboot)', 'a;b', '*', 'a\nstop', '']) {
      const { status } = await device.launch('ask', device.root, 'sql', '1', 'look', word);
      if (word !== '') expect(status).toBe(2);
    }
    expect(device.journal()).not.toContain('stop');
  });

  test('nobody answers where nothing runs', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    expect(await device.launch('ask', device.root, 'sql', '5', 'look')).toEqual({
      status: 3,
      stdout: '',
      stderr: 'launcher: the virtual machine of sql does not run\n',
    });
  });

  test('a guest that falls silent over a question is not waited for', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid } = await device.until({ health: 'ok' });
    process.kill(Number(pid), 'SIGSTOP');
    const began = performance.now();
    expect(await device.launch('ask', device.root, 'sql', '600', 'look')).toMatchObject({
      status: 3,
      stderr: 'launcher: the guest of sql is silent\n',
    });
    expect(performance.now() - began).toBeLessThan(60_000);
    process.kill(Number(pid), 'SIGCONT');
  });

  test('a guest that falls silent is told of, is asked nothing more, and is heard again', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid } = await device.until({ health: 'ok' });
    process.kill(Number(pid), 'SIGSTOP');
    const { silent } = await device.until({ silent: /^\d+$/, health: 'unknown' });
    expect(Math.abs(Number(silent) + 15 - Date.now() / 1000)).toBeLessThan(40);
    expect(await device.launch('ask', device.root, 'sql', '20', 'look')).toMatchObject({
      status: 3,
      stderr: 'launcher: the guest of sql is silent\n',
    });
    process.kill(Number(pid), 'SIGCONT');
    await device.until({ health: 'ok' });
    expect(await device.status()).not.toHaveProperty('silent');
    expect(device.journal().filter((line) => line.startsWith('ask'))).toEqual([]);
  });
});
