import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe } from 'vitest';
import { parent, runs, type Shell, shells } from './testing/device-folder.ts';
import { PATIENT, test } from './testing/launcher-test.ts';

test(
  'the launcher and its parts, taken together, are clean by shellcheck',
  { timeout: 120_000 },
  ({ expect }) => {
    const parts = readdirSync(join(import.meta.dirname, 'lib')).map((name) => join('lib', name));
    expect(parts.length).toBeGreaterThan(5);
    execFileSync('shellcheck', ['--norc', '-x', 'launch.sh'], { cwd: import.meta.dirname });
    execFileSync('shellcheck', ['launch.sh', ...parts], { cwd: import.meta.dirname });
  },
);

describe.concurrent.for(Object.keys(shells) as Shell[])('under %s', { timeout: 180_000 }, (shell) => {
  test('a service starts, tells its state in flat lines, and stops when it is asked', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    expect(await device.status()).toMatchObject({ state: 'stopped', health: 'unknown', current: 'a' });
    expect(await device.start()).toMatchObject({ status: 0, stderr: '' });
    const running = await device.until({ state: 'running', health: 'ok' });
    expect(running).toMatchObject({ slot: 'a', stage: 'ready', restarts: '0' });
    expect(running.tailnet).toBe('running 100.64.0.7 demo-phone.tail.example never n1');
    expect(running.https).toBe('on demo-phone.tail.example 2099-05-22T10:00:00Z own');
    expect(running.release).toMatch(/^[0-9a-f]{64}$/);
    expect(Math.abs(Number(running.since) - Date.now() / 1000)).toBeLessThan(20);

    expect((await device.start()).status).toBe(0);
    expect((await device.status()).pid).toBe(running.pid);

    expect((await device.stop(10)).status).toBe(0);
    const stopped = await device.status();
    expect(stopped).toMatchObject({ state: 'stopped', health: 'unknown', exit: '0' });
    expect(stopped).not.toHaveProperty('tailnet');
    expect(stopped).not.toHaveProperty('https');
    // The disk is what it was.
    expect(stopped.data).toBe('100663296 19922944');
    expect(runs(Number(running.pid))).toBe(false);
    const seen = [`power-on ${running.pid} healthy`, 'time EPOCH', 'open', 'stop'];
    // Each once: a pipe that nobody reads must never be filled.
    expect(device.journal()).toEqual(seen);
    expect(await device.stop(10)).toMatchObject({ status: 0, stderr: '' });
  });

  test('the launcher code is the VM’s parent, in a session of its own', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid, launcher } = await device.until({ state: 'running' });
    const stat = (id: string) =>
      readFileSync(`/proc/${id}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ');
    const wrapper = stat(pid ?? '')[1] ?? '';
    expect(readFileSync(`/proc/${wrapper}/cmdline`, 'utf8')).toContain('launch.sh');
    expect(stat(wrapper)[1]).toBe(launcher);
    expect(stat(launcher ?? '')[3]).toBe(launcher);
  });

  test('a guest that does not obey has its power cut after the deadline', async ({ expect, service }) => {
    const device = service(shell, 'deaf');
    await device.start();
    const { pid } = await device.until({ state: 'running' });
    expect(await device.stop(1)).toMatchObject({ status: 0, stderr: '' });
    expect(runs(Number(pid))).toBe(false);
    expect(await device.status()).toMatchObject({
      state: 'stopped',
      exit: '137',
      attention: expect.stringMatching(/within 1 s/) as string,
    });
  });

  test('a service that is still starting can be stopped', async ({ expect, service }) => {
    const device = service(shell, 'ill');
    await device.start();
    // It obeys once it has begun, which may take a while.
    expect((await device.stop(60)).status).toBe(0);
    expect(await device.status()).toMatchObject({ state: 'stopped' });
    expect(device.journal().at(-1)).toBe('stop');
  });

  test('a guest that is closed lets nobody in, says why, and opens when the reason is gone', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    writeFileSync(join(device.service, 'closed'), 'a restore is not finished\n');
    await device.start();
    await device.until({ state: 'running', health: 'ok', attention: 'a restore is not finished' });
    expect(device.journal()).not.toContain('open');
    rmSync(join(device.service, 'closed'));
    await expect.poll(() => device.journal(), { timeout: 20_000 }).toContain('open');
    expect((await device.status()).attention).toBeUndefined();
    expect((await device.stop(10)).status).toBe(0);
  });

  test('a killed VM is back at once, and a new one does not read what the old one was sent', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid } = await device.until({ state: 'running' });
    process.kill(Number(pid), 'SIGSTOP');
    appendFileSync(join(device.service, 'agent.in'), 'stop\n');
    process.kill(Number(pid), 'SIGKILL');
    const again = await device.until({ state: 'running', restarts: '1' });
    expect(again.pid).not.toBe(pid);
    expect(device.journal()).not.toContain('stop');
    expect(device.read('log/launcher.log')).toMatch(/exit status 137/);
  });

  test('of a VM that is gone nothing is healthy, also before its launcher knows', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid, launcher } = await device.until({ state: 'running', health: 'ok' });
    process.kill(Number(launcher), 'SIGSTOP');
    process.kill(Number(pid), 'SIGKILL');
    const { pid: gone, health } = await device.until({ health: 'unknown' });
    process.kill(Number(launcher), 'SIGCONT');
    expect([gone, health]).toEqual([undefined, 'unknown']);
    await device.until({ state: 'running', health: 'ok', restarts: '1' });
  });

  test('a killed launcher leaves the VM running, and the next start adopts it', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid, launcher } = await device.until({ state: 'running' });
    process.kill(Number(launcher), 'SIGKILL');
    await Promise.all([device.start(), device.start()]);
    const adopted = await device.until({ state: 'running', health: 'ok' });
    expect(adopted.pid).toBe(pid);
    expect(device.journal().filter((line) => line.startsWith('power-on'))).toHaveLength(1);
    expect((await device.stop(10)).status).toBe(0);
    expect(await device.status()).toMatchObject({ state: 'stopped', exit: '0' });
  });

  test('a guest that said hello while no launcher lived is opened by the next one', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'late');
    await device.start();
    const { pid } = await device.until({ state: 'starting', pid: /./ });
    await device.abandon();
    device.write('speak', '');
    await expect.poll(() => device.read('agent.out'), PATIENT).toMatch(/ hello 1/);
    expect(device.journal()).not.toContain('open');
    await device.start();
    expect((await device.until({ state: 'running', health: 'ok' })).pid).toBe(pid);
    await expect
      .poll(() => device.journal(), PATIENT)
      .toEqual(expect.arrayContaining(['time EPOCH', 'open']));
  });

  test('what a launcher that has just begun does not say yet is not taken for a stop', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { launcher, pid } = await device.until({ state: 'running' });
    process.kill(Number(launcher), 'SIGSTOP');
    rmSync(join(device.service, 'state', 'phase'));
    expect(await device.status()).toMatchObject({ state: 'unknown', health: 'unknown', pid });
    process.kill(Number(pid), 'SIGKILL');
    await device.until({ state: 'starting', health: 'unknown' });
    process.kill(Number(launcher), 'SIGCONT');
    await device.until({ state: 'running', health: 'ok', restarts: '1' });
  });

  test('a launcher from before there were keepers is replaced by a start, the VM kept', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid, launcher } = await device.until({ state: 'running' });
    rmSync(join(device.service, 'state', 'launcher-agent'));
    expect((await device.start()).status).toBe(0);
    const replaced = await device.until({ state: 'running', health: 'ok' });
    expect(replaced.pid).toBe(pid);
    expect(replaced.launcher).not.toBe(launcher);
  });

  test('a VM without a launcher is told of, and can be stopped', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid } = await device.until({ state: 'running' });
    await device.abandon();
    expect(await device.status()).toMatchObject({ state: 'unknown', health: 'unknown', pid });
    expect((await device.stop(10)).status).toBe(0);
    expect(runs(Number(pid))).toBe(false);
    expect(device.journal().at(-1)).toBe('stop');
    expect(await device.status()).toMatchObject({ state: 'stopped' });
  });

  test('an exit status outlives the launcher', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid } = await device.until({ state: 'running' });
    await device.abandon();
    process.kill(Number(pid), 'SIGKILL');
    // Whoever waited for it wrote its status, and starts a keeper.
    await device.until({ state: 'running', health: 'ok' });
    expect(device.read('log/launcher.log')).toMatch(/ended while nobody supervised it: signal 9/);
  });

  test('a VM whose wrapper was killed goes on, and its end is noticed all the same', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid } = await device.until({ state: 'running' });
    process.kill(parent(Number(pid)), 'SIGKILL');
    expect((await device.status()).pid).toBe(pid);
    process.kill(Number(pid), 'SIGKILL');
    const again = await device.until({ state: 'running', restarts: '1' });
    expect(again.pid).not.toBe(pid);
    expect(device.read('log/launcher.log')).toMatch(/exit status unknown/);
  });

  test('what the wrapper of a VM says after the next one started is not taken for that one’s end', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid } = await device.until({ state: 'running' });
    const wrapper = parent(Number(pid));
    process.kill(wrapper, 'SIGSTOP');
    process.kill(Number(pid), 'SIGKILL');
    const again = await device.until({ state: 'running', restarts: '1', health: 'ok' });
    expect(again).not.toHaveProperty('exit');
    process.kill(wrapper, 'SIGCONT');
    await expect.poll(() => device.read('state/exit'), PATIENT).toMatch(/^137 /);
    // The second answer is of a round that began after it was written.
    for (const word of ['one', 'two']) await device.launch('ask', device.root, 'sql', '20', 'mend', word);
    expect(await device.status()).toMatchObject({ pid: again.pid, restarts: '1' });
    expect(device.journal().filter((line) => line.startsWith('power-on'))).toHaveLength(2);
  });

  test('a VM that says nothing is not healthy by what it said long before it was adopted', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid, launcher } = await device.until({ state: 'running' });
    await device.until({ health: 'ok' });
    process.kill(Number(pid), 'SIGSTOP');
    // It looks alive until all of it is written: to the next one, this is the past.
    process.kill(Number(launcher), 'SIGSTOP');
    const line = `${device.read('state/guest-boot')} 9 health ok\n`;
    appendFileSync(join(device.service, 'agent.out'), line.repeat(1000));
    process.kill(Number(launcher), 'SIGKILL');
    const { state, health } = await device.until({ silent: /./ });
    process.kill(Number(pid), 'SIGCONT');
    expect([state, health]).toEqual(['starting', 'unknown']);
  });

  test('a pid that another process has now is no VM of ours', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    mkdirSync(join(device.service, 'state'));
    device.write('state/pid', `${process.pid}\n`);
    device.write('state/start', '1\n');
    device.write('state/boot', readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'));
    expect(await device.status()).not.toHaveProperty('pid');
    await device.stop(0);
    await device.start();
    await device.until({ state: 'running' });
    expect(runs(process.pid)).toBe(true);
  });

  test('a VM that keeps dying is started again ever more slowly, then given up loudly', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'dies');
    await device.start();
    const failed = await device.until({ state: 'failed' });
    expect(failed).toMatchObject({ exit: '7', restarts: '3' });
    expect(failed.attention).toMatch(
      /gave up after 3 starts.*exit status 7, last stage: booting, the VMM said: cannot go on$/,
    );
    expect(device.journal().filter((line) => line.startsWith('power-on'))).toHaveLength(3);
    expect(device.read('log/launcher.log')).toMatch(/starting again in 1 s/);
    await expect.poll(() => device.status(), PATIENT).not.toHaveProperty('launcher');
  });

  test('a service that waits for its next start can be stopped, and is not called running', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'dies', { restarts: '9', 'backoff-max': '60' });
    await device.start();
    expect(await device.until({ restarts: /[3-9]/ })).toMatchObject({ state: 'starting' });
    expect((await device.stop(5)).status).toBe(0);
    expect(await device.status()).toMatchObject({ state: 'stopped', wanted: 'down 5' });
  });

  test('a release on trial becomes current after three healthy reports, and is opened only then', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'ill');
    // Room for the look at a closed trial on a busy machine.
    device.slot('b', 'healthy', { 'trial-spacing': '5' });
    device.write('trial', 'b 0 - 0\n');
    await device.start();
    const tried = await device.until({ health: 'ok', trial: 'yes' });
    expect(tried).toMatchObject({ slot: 'b', current: 'a' });
    expect(device.journal()).not.toContain('open');
    await device.until({ current: 'b' });
    await expect.poll(() => device.status(), PATIENT).not.toHaveProperty('trial');
    await expect.poll(() => device.journal(), PATIENT).toContain('open');
    expect(device.journal().filter((line) => line.startsWith('power-on'))).toHaveLength(1);
  });

  test.for([
    // It says how far it came before it obeys, which may take a while.
    [
      'never becomes healthy',
      'ill',
      { deadline: '2', stop: '60' },
      /not healthy within 2 s, last stage: booting/,
    ],
    ['keeps dying', 'dies', {}, /the VM ended 3 times, exit status 7/],
    ['has a damaged file', 'healthy', { file: `${'0'.repeat(64)} launch-file` }, /damaged in the store/],
    ['lacks a file', 'healthy', { need: 'no-such-file' }, /no-such-file is missing/],
    ['has an unknown key in its plan', 'healthy', { surprise: '1' }, /unknown key 'surprise'/],
  ] as const)(
    'a release that %s is taken back without anybody’s help',
    async ([, behaviour, launch, why], { expect, service }) => {
      const device = service(shell, 'healthy');
      device.write('launch-file', 'content\n');
      device.slot('b', behaviour, launch);
      device.write('trial', 'b 0 - 0\n');
      await device.start();
      const back = await device.until({ state: 'running', slot: 'a', attention: why });
      expect(back).not.toHaveProperty('trial');
      expect(back.current).toBe('a');
    },
  );

  test('a trial that fails leaves the one that a deploy began meanwhile', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    device.slot('b', 'ill', { deadline: '15' });
    device.write('trial', 'b 0 - 0\n');
    await device.start();
    await device.until({ slot: 'b', health: /bad/ });
    device.slot('b', 'healthy');
    device.write('trial', 'b 0 - 0\n');
    await device.until({ state: 'running', current: 'b' });
    expect(device.read('log/launcher.log')).toMatch(
      /the new release was taken back: not healthy within 15 s/,
    );
  });

  test('that a release was taken back is told also where the one before comes late', async ({ service }) => {
    const device = service(shell, 'late', { deadline: '1' });
    device.slot('b', 'dies');
    device.write('trial', 'b 0 - 0\n');
    await device.start();
    await device.until({ slot: 'a', attention: /taken back: .*; not healthy 1 s after the start/ });
    device.write('speak', '');
    await device.until({ state: 'running', attention: /taken back: [^;]*$/ });
  });

  test('a trial that two boots of the device interrupted is over', async ({ service }) => {
    const device = service(shell, 'healthy');
    device.slot('b', 'healthy');
    device.write('trial', 'b 100 00000000-earlier-boot 2\n');
    await device.start();
    await device.until({ state: 'running', slot: 'a', attention: /restarted 2 times/ });
  });

  test('a start after a deploy replaces the running release', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid } = await device.until({ state: 'running' });
    device.slot('b', 'healthy', { 'trial-spacing': '5' });
    device.write('trial', 'b 0 - 0\n');
    expect((await device.start()).status).toBe(0);
    expect(await device.status()).toMatchObject({ slot: 'b', trial: 'yes' });
    expect(runs(Number(pid))).toBe(false);
    expect(device.journal()).toContain('stop');
  });

  test('a start after a deploy of other settings starts the same release anew, and only then', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid } = await device.until({ state: 'running' });
    device.slot('a', ['healthy', 'healthy']);
    expect((await device.start()).status).toBe(0);
    const anew = await device.until({ state: 'running', restarts: '0' });
    expect(anew.pid).not.toBe(pid);
    expect(device.journal()).toContain('stop');
    device.slot('a', ['healthy', 'healthy'], { stop: '7' });
    await device.start();
    const again = await device.until({ state: 'running' });
    expect(again.pid).not.toBe(anew.pid);
    await device.start();
    expect((await device.status()).pid).toBe(again.pid);
  });

  test('a stop while it is started anew is the last word', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid } = await device.until({ state: 'running' });
    process.kill(Number(pid), 'SIGSTOP');
    device.slot('a', ['healthy', 'healthy']);
    const start = device.start();
    await device.until({ state: 'stopping' });
    const stop = device.stop(60);
    await expect.poll(() => device.read('wanted'), PATIENT).toBe('down 60');
    process.kill(Number(pid), 'SIGCONT');
    expect(await start).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/asked to stop/) as string,
    });
    expect((await stop).status).toBe(0);
    expect(await device.status()).toMatchObject({ state: 'stopped' });
  });

  test('a VMM that refuses its arguments is given the next variant', async ({ expect, service }) => {
    const device = service(shell, ['refuses', 'healthy'], { 'variant-exit': '35' });
    await device.start();
    expect(await device.until({ state: 'running' })).toMatchObject({ restarts: '0' });
  });

  test('a log that is too large is copied and emptied while its writer holds it', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy', { 'log-limit': '200', 'log-interval': '1' });
    await device.start();
    await device.until({ state: 'running' });
    writeFileSync(join(device.service, 'log', 'console.log'), 'x'.repeat(300));
    await expect.poll(() => device.read('log/console.log.1')?.length, PATIENT).toBe(300);
    await expect.poll(() => statSync(join(device.service, 'log', 'console.log')).size, PATIENT).toBe(0);
  });

  test('no start without a release, and none of a service that is not there', async ({ expect, folder }) => {
    const device = folder(shell);
    expect(await device.start()).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/no release/) as string,
    });
    expect((await device.launch('start', device.root, 'forge')).stderr).toMatch(/never deployed/);
    expect((await device.launch('start', device.root, '../x')).status).toBe(2);
    expect((await device.launch('stop', device.root, 'sql', 'soon')).status).toBe(2);
  });

  test('a signal to the launcher stops the VM cleanly and keeps what was wanted', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { launcher } = await device.until({ state: 'running' });
    process.kill(Number(launcher), 'SIGTERM');
    expect(await device.until({ state: 'stopped' })).toMatchObject({ wanted: 'up', exit: '0' });
    expect(device.journal().at(-1)).toBe('stop');
  });
});
