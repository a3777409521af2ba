import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe } from 'vitest';
import { type DeviceFolder, runs, type Shell, shells } from './testing/device-folder.ts';
import { PATIENT, test } from './testing/launcher-test.ts';

const ROUNDS = process.env.SOVEREIGN_LONG === '1' ? 100 : 3;

const kill = (pid: string | undefined, signal: NodeJS.Signals = 'SIGKILL'): void => {
  process.kill(Number(pid), signal);
};
/** Any process but this one, which may still be dying. */
const another = (pid: string | undefined): RegExp => new RegExp(`^(?!${pid ?? ''}$)\\d+$`);
/** Where a link leads; empty for a descriptor that was closed since it was listed. */
const target = (link: string): string => {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
};
const keeper = async (device: DeviceFolder) => (await device.status('-')).keeper;
const starts = (device: DeviceFolder) =>
  device.journal().filter((line) => line.startsWith('power-on')).length;

describe.concurrent.for(Object.keys(shells) as Shell[])('under %s', { timeout: 300_000 }, (shell) => {
  test('a killed launcher comes back by itself, and the VM never knew', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid, launcher } = await device.until({ state: 'running' });
    kill(launcher);
    await device.until({ state: 'running', health: 'ok', launcher: another(launcher), pid: pid ?? '' });
    expect(starts(device)).toBe(1);
  });

  test('a killed keeper comes back by itself', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    await expect.poll(() => keeper(device), PATIENT).toBeDefined();
    const before = await keeper(device);
    kill(before);
    await expect.poll(async () => (await keeper(device)) ?? '', PATIENT).toMatch(another(before));
  });

  test('launcher and VM killed at once: both are back', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid, launcher } = await device.until({ state: 'running' });
    // Stopped, it sees nothing, and nobody brings it back before the end of the VM is written down.
    kill(launcher, 'SIGSTOP');
    kill(pid);
    await expect.poll(() => device.read('state/exit'), PATIENT).toMatch(/^137 /);
    kill(launcher);
    const both = { launcher: another(launcher), pid: another(pid) };
    await device.until({ state: 'running', health: 'ok', ...both });
    expect(device.read('log/launcher.log')).toMatch(/ended while nobody supervised it: signal 9/);
  });

  test('launcher and keeper killed at once: the VM goes on, and brings both back', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid = '', launcher } = await device.until({ state: 'running' });
    await device.killSupervision();
    await device.until({ state: 'running', health: 'ok', launcher: another(launcher), pid });
    expect(await keeper(device)).toBeDefined();
    expect(starts(device)).toBe(1);
    expect(device.read('log/launcher.log')).toMatch(/nobody supervises sql: starting a keeper/);
    // As good as any other: it hears what it is told.
    expect(await device.launch('halt', device.root, '10')).toMatchObject({ status: 0, stderr: '' });
  });

  test('launcher, keeper and VM killed at once: all are back', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid, launcher } = await device.until({ state: 'running' });
    await device.killSupervision(Number(pid));
    const both = { launcher: another(launcher), pid: another(pid) };
    await device.until({ state: 'running', health: 'ok', ...both });
    expect(await keeper(device)).toBeDefined();
    expect(starts(device)).toBe(2);
    expect(await device.launch('halt', device.root, '10')).toMatchObject({ status: 0, stderr: '' });
  });

  test('launcher and keeper killed a moment after the VM: all are back', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid, launcher } = await device.until({ state: 'running', health: 'ok' });
    await expect.poll(() => keeper(device), PATIENT).toBeDefined();
    const keeps = await keeper(device);
    // Both look alive, and see nothing.
    kill(launcher, 'SIGSTOP');
    kill(keeps, 'SIGSTOP');
    kill(pid, 'SIGKILL');
    await expect.poll(() => device.read('state/exit'), PATIENT).toMatch(/^137 /);
    // At once: the wrapper looks for a few seconds whether somebody is left.
    kill(launcher);
    kill(keeps);
    await device.until({ state: 'running', health: 'ok', launcher: another(launcher), pid: another(pid) });
    expect(starts(device)).toBe(2);
  });

  test('what is not wanted is brought back by nobody', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid, launcher } = await device.until({ state: 'running' });
    // Before it follows.
    kill(launcher, 'SIGSTOP');
    device.write('wanted', 'down 5\n');
    await device.killSupervision(Number(pid));
    await expect.poll(() => device.processes(), PATIENT).toEqual([]);
    expect(starts(device)).toBe(1);
  });

  const all = { timeout: 60_000 + ROUNDS * 20_000 };
  test(`${ROUNDS} rounds of start and stop leave nothing behind`, all, async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    const before = device.processes();
    for (let round = 0; round < ROUNDS; round++) {
      expect(await device.start()).toMatchObject({ status: 0, stderr: '' });
      await device.until({ state: 'running' });
      // One that has yet to come would do so after the stop, and then go.
      await expect.poll(() => keeper(device), PATIENT).toBeDefined();
      expect(await device.stop(10)).toMatchObject({ status: 0, stderr: '' });
      expect(await keeper(device)).toBeUndefined();
    }
    expect(before).toEqual([]);
    await expect.poll(() => device.processes(), PATIENT).toEqual([]);
    expect(starts(device)).toBe(ROUNDS);
  });

  test('one keeper looks after all services, and stays until the last one is stopped', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    device.copyService('vault');
    await Promise.all([device.start(), device.launch('start', device.root, 'vault')]);
    await device.until({ state: 'running' }, 60, 'vault');
    await expect.poll(() => keeper(device), PATIENT).toBeDefined();
    const one = await keeper(device);
    expect((await device.stop(10)).status).toBe(0);
    expect(await keeper(device)).toBe(one);
    const keepers = device.processes().filter((line) => line.includes(' keep '));
    expect(keepers.filter((line) => line.startsWith(`${one ?? ''} `))).toHaveLength(1);
    expect((await device.launch('stop', device.root, 'vault', '10')).status).toBe(0);
    expect(await keeper(device)).toBeUndefined();
  });

  test('after the power was cut, boot brings back what was wanted and nothing else', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    device.copyService('vault');
    device.copyService('forge');
    await device.start();
    await device.launch('start', device.root, 'vault');
    await device.until({ state: 'running' });
    await device.until({ state: 'running' }, 60, 'vault');
    await device.launch('stop', device.root, 'vault', '10');
    await device.powerCut();
    for (const file of ['services/sql/state/launcher-boot', 'services/sql/state/boot', 'keeper/state/boot']) {
      writeFileSync(join(device.root, file), '00000000-the-boot-before\n');
    }
    expect(await device.status()).toMatchObject({ state: 'stopped', wanted: 'up' });

    expect(await device.launch('boot', device.root)).toMatchObject({ status: 0, stdout: '', stderr: '' });
    await device.until({ state: 'running', health: 'ok' });
    expect(await device.status('vault')).toMatchObject({ state: 'stopped' });
    expect(await device.status('forge')).toMatchObject({ state: 'stopped' });
    expect(starts(device)).toBe(3);
  });

  test('what was given up is left alone, until the device boots', async ({ expect, service }) => {
    const device = service(shell, 'dies', { restarts: '0' });
    await device.start();
    await device.until({ state: 'failed' });
    await expect.poll(() => keeper(device), PATIENT).toBeUndefined();
    expect(starts(device)).toBe(1);
    device.slot('a', 'healthy');
    await device.launch('boot', device.root);
    await device.until({ state: 'running' });
  });

  test('halt stops everything cleanly and keeps what was wanted', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid } = await device.until({ state: 'running' });
    expect(await device.launch('halt', device.root, '10')).toMatchObject({ status: 0, stderr: '' });
    expect(runs(Number(pid))).toBe(false);
    expect(device.journal().at(-1)).toBe('stop');
    expect(await device.status()).toMatchObject({ state: 'stopped', wanted: 'up', exit: '0' });
    await expect.poll(() => device.processes(), PATIENT).toEqual([]);
    expect(await device.launch('halt', device.root, '10')).toMatchObject({ status: 0, stderr: '' });
    await device.launch('boot', device.root);
    await device.until({ state: 'running' });
  });

  test('halt stops a VM whose launcher and keeper were killed', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid, launcher } = await device.until({ state: 'running' });
    await expect.poll(() => keeper(device), PATIENT).toBeDefined();
    kill(await keeper(device));
    kill(launcher);
    expect((await device.launch('halt', device.root, '10')).status).toBe(0);
    expect(runs(Number(pid))).toBe(false);
    expect(device.journal().at(-1)).toBe('stop');
  });

  test.for(['sys.shutdown.requested', 'sys.powerctl'])(
    'a phone that goes down (%s) stops its guests cleanly',
    async (property, { expect, service }) => {
      const device = service(shell, 'healthy');
      const down = join(device.root, 'going down');
      device.program(
        'getprop',
        `if [ "$1" = ${property} ] && [ -e '${down}' ]; then echo 0userrequested; else echo; fi`,
      );
      device.settings({ kind: 'adb' });
      await device.start();
      await device.until({ state: 'running' });
      writeFileSync(down, '');
      await device.until({ state: 'stopped' });
      expect(await device.status()).toMatchObject({ wanted: 'up', exit: '0' });
      expect(device.journal().at(-1)).toBe('stop');
      await expect.poll(() => keeper(device), PATIENT).toBeUndefined();
    },
  );

  test('a full host stops a service before its disk does, and starts it again when there is room', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    const free = (mebibytes: number) => {
      writeFileSync(join(device.root, 'free'), `fs 9 9 ${mebibytes * 1024} 9% /\n`);
    };
    // A number that mksh cannot count stands for terabytes.
    writeFileSync(join(device.root, 'free'), 'fs 9 9 99999999999 9% /\n');
    device.program('df', 'echo header', `cat '${join(device.root, 'free')}'`);
    device.settings({ reserve: '100' });
    await device.start();
    await device.until({ state: 'running' });
    free(99);
    const full = await device.until({ state: 'failed' });
    expect(full.attention).toMatch(/^host full: 99 MiB are free, 100 MiB are kept in reserve$/);
    expect(full.wanted).toBe('up');
    expect(device.journal().at(-1)).toBe('stop');
    expect(await device.start()).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/host full/) as string,
    });
    // Above the reserve, yet at its edge: it stays down.
    free(140);
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    expect(await device.status()).toMatchObject({ state: 'failed' });
    expect(starts(device)).toBe(1);
    free(150);
    const back = await device.until({ state: 'running' });
    expect(back).not.toHaveProperty('attention');
  });

  test('remove takes back the boot hook and whatever runs, and once more changes nothing', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    const hook = join(device.root, 'sovereign boot hook.sh');
    writeFileSync(hook, '');
    device.settings({ hook });
    device.write('data.img', 'data');
    await device.start();
    await device.until({ state: 'running' });
    // One that has yet to come would make its folder again.
    await expect.poll(() => keeper(device), PATIENT).toBeDefined();
    for (let time = 0; time < 2; time++) {
      expect(await device.launch('remove', device.root)).toMatchObject({ status: 0, stderr: '' });
      expect(existsSync(hook)).toBe(false);
      expect(existsSync(join(device.root, 'keeper'))).toBe(false);
      await expect.poll(() => device.processes(), PATIENT).toEqual([]);
    }
    expect(device.read('data.img')).toBe('data');
    await device.launch('boot', device.root);
    await expect.poll(() => keeper(device), PATIENT).toBeUndefined();
    expect(starts(device)).toBe(1);
  });

  test('nothing of whoever started it holds on to launcher, keeper or VM', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    const held = join(device.root, 'held open');
    writeFileSync(held, '');
    const caller = 'held=$1; shift; cd /; exec 3<"$held" 4<"$held" 9<"$held"; "$@" 5<"$held"';
    const launch = [join(device.root, 'bin/sh'), join(import.meta.dirname, 'launch.sh')];
    await promisify(execFile)('/bin/sh', ['-c', caller, 'sh', held, ...launch, 'start', device.root, 'sql']);
    const { pid, launcher } = await device.until({ state: 'running' });
    await expect.poll(() => keeper(device), PATIENT).toBeDefined();
    for (const id of [pid, launcher, await keeper(device)]) {
      const folder = `/proc/${id ?? ''}/fd`;
      const open = readdirSync(folder).map((descriptor) => target(join(folder, descriptor)));
      expect(open).not.toContain(held);
      expect(target(`/proc/${id ?? ''}/cwd`)).toContain(device.root);
    }
  });

  test('what a predecessor left is left alone', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    for (const folder of ['vm/sql', 'services/Old VM', 'services/vault']) {
      mkdirSync(join(device.root, folder), { recursive: true });
    }
    writeFileSync(join(device.root, 'vm/sql/start.sh'), 'echo\n');
    writeFileSync(join(device.root, 'vm/sql/vm.pid'), `${process.pid}\n`);
    writeFileSync(join(device.root, 'sovereign_start.sh'), 'echo\n');
    await device.start();
    await device.until({ state: 'running' });
    expect((await device.launch('status', device.root)).stdout).not.toMatch(/Old|vault/);
    await device.launch('remove', device.root);
    expect(readdirSync(join(device.root, 'vm/sql')).sort()).toEqual(['start.sh', 'vm.pid']);
    expect(readFileSync(join(device.root, 'sovereign_start.sh'), 'utf8')).toBe('echo\n');
    expect(runs(process.pid)).toBe(true);
  });

  test('settings that this launcher does not know keep services down, and do not keep them up', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    await device.start();
    const { pid } = await device.until({ state: 'running' });
    device.settings({ surprise: 'yes' });
    expect(await device.status('-')).toMatchObject({
      attention: expect.stringMatching(/device.conf: 'surprise yes'/) as string,
    });
    expect((await device.stop(10)).status).toBe(0);
    expect(runs(Number(pid))).toBe(false);
    expect(await device.start()).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/device.conf: 'surprise yes'/) as string,
    });
    rmSync(join(device.root, 'device.conf'));
  });
});
