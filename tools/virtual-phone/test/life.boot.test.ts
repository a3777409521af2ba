import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Phone } from './phone.ts';

const NAME = 'life-test';

let phone: Phone;
let port: string;
let before: Snapshot;
/** The interface of this phone, once it is known. */
let ownLink: string | undefined;

/** What a phone could leave behind on this machine. */
interface Snapshot {
  links: string[];
  mounts: string[];
  processes: string[];
  groups: string;
}

/** Of phones of this name alone: other tests may run theirs at the same time. */
async function snapshot(): Promise<Snapshot> {
  const links = (await readdir('/sys/class/net')).filter((name) => name === ownLink);
  const mounts = (await readFile('/proc/mounts', 'utf8'))
    .split('\n')
    .filter((line) => line.includes(`/${NAME}/`));
  const { stdout } = await execa('ps', ['-e', '-o', 'args']);
  const processes = stdout.split('\n').filter((line) => line.includes(`virtual-phone/${NAME}`));
  // Groups of others go while it looks, which it ends with 1 for.
  const find = ['/sys/fs/cgroup', '-name', `sovereign-phone-${NAME}`];
  const groups = (await execa('find', find, { reject: false })).stdout;
  return { links, mounts, processes, groups };
}

const adb = (...args: string[]) =>
  execa('adb', ['-P', port, '-s', phone.serial, ...args], { reject: false, timeout: 120_000 });

beforeAll(async () => {
  before = await snapshot();
  phone = await Phone.start(NAME, '--root', 'kernelsu', '--android', '14');
  const announced = await readFile(`/run/sovereign/virtual-phones/${NAME}`, 'utf8');
  const [serial, serverPort = ''] = announced.trim().split(' ');
  expect(serial).toBe(phone.serial);
  port = serverPort;
  ownLink = `sovphone${phone.serial.split('.')[2] ?? ''}`;
  expect((await snapshot()).links).toEqual([ownLink]);
});

afterAll(() => execa(`${import.meta.dirname}/../phone`, ['stop', NAME], { reject: false }));

test('adb shell runs as the user shell, and gives both streams and the exit status', async () => {
  expect((await adb('shell', 'id -u')).stdout).toBe('2000');
  expect(await adb('shell', 'echo out; echo err >&2; exit 7')).toMatchObject({
    exitCode: 7,
    stdout: 'out',
    stderr: 'err',
  });
});

test('su joins its arguments, parses them once more, and passes streams and status through', async () => {
  expect((await adb('shell', "su -c 'id -u'")).stdout).toBe('0');
  expect((await adb('shell', "su -c echo 'a   b'")).stdout).toBe('a b');
  expect((await adb('shell', 'su -v')).stdout).toMatch(/:KernelSU$/);
  const through = await execa('adb', ['-P', port, '-s', phone.serial, 'shell', 'su -c "cat; exit 3"'], {
    input: 'over',
    reject: false,
  });
  expect(through).toMatchObject({ stdout: 'over', exitCode: 3 });
});

test('its only tools are mksh and what its toybox has in common with a phone', async () => {
  const { stdout } = await adb('shell', 'ls /system/bin');
  const programs = stdout.split('\n');
  expect(programs).toEqual(expect.arrayContaining(['sh', 'toybox', 'flock', 'nsenter', 'ip', 'iptables']));
  for (const name of ['bash', 'awk', 'dd', 'apt', 'perl', 'wget']) expect(programs).not.toContain(name);
  expect((await adb('shell', 'echo $KSH_VERSION')).stdout).toContain('MIRBSD KSH');
  expect((await adb('shell', 'ls /etc/resolv.conf')).exitCode).not.toBe(0);
});

test('properties are those of the release that it plays', async () => {
  expect((await adb('shell', 'getprop ro.build.version.release; getprop ro.build.version.sdk')).stdout).toBe(
    '14\n34',
  );
  expect((await adb('shell', 'getprop no.such.property')).stdout).toBe('');
  expect((await adb('shell', 'setprop sys.by.shell 1')).exitCode).not.toBe(0);
});

test('what it sends goes to its own world, and what it forwards is dropped as on a phone', async () => {
  const { stdout: dns } = await adb('shell', 'dumpsys connectivity');
  expect(dns).toContain('DnsAddresses: [ /10.174.7.1 ]');
  // A question for the address of `a.test`; the answer ends with the world's own.
  const query = "printf '\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\1a\\4test\\0\\0\\1\\0\\1'";
  await expect
    .poll(() => phone.shell(`${query} | timeout 2 nc -u 10.174.7.1 53 | tail -c 4 | od -An -tu1`), {
      timeout: 60_000,
    })
    .toMatch(/10 +174 +7 +1$/);
  expect((await phone.shell('ip rule')).split('\n').at(-1)).toMatch(/^32000:\s+from all unreachable$/);
  expect(await phone.shell('iptables-save')).toContain('-A tetherctrl_FORWARD -j DROP');
  expect(await phone.shell('ip route get 8.8.8.8 iif adb0 from 198.18.250.2 2>&1 || true')).toMatch(
    /unreachable|No route to host/,
  );
});

test('the default network changes, with its table and its resolver', async () => {
  await phone.run('uplink', 'wlan0');
  expect((await adb('shell', 'dumpsys connectivity')).stdout).toContain('InterfaceName: wlan0');
  expect(await phone.shell('ip route get 8.8.8.8')).toContain('dev wlan0');
  await phone.run('uplink', 'none');
  expect(await phone.shell('ip route get 8.8.8.8 2>&1 || true')).toMatch(/unreachable|No route to host/);
  await phone.run('uplink', 'v4-rmnet0');
});

test('pulling the cable ends what runs over adb; the phone itself goes on', async () => {
  const running = adb('shell', 'sleep 90; echo through');
  await phone.run('unplug');
  // adb 29 ends with 0 here: who asks has to look for more than the status.
  expect((await running).stdout).toBe('');
  expect((await adb('get-state')).exitCode).not.toBe(0);
  expect(await phone.shell('echo on')).toBe('on');
  await phone.run('plug');
  expect((await adb('get-state')).stdout).toBe('device');
});

test('a restart of adbd ends what adb shell left running, and nothing that left its cgroup', async () => {
  const detached = (seconds: number) => `setsid sleep ${seconds} </dev/null >/dev/null 2>&1 &`;
  await adb('shell', detached(771));
  await adb('shell', `su -c '${detached(772)}'`);
  await phone.run('restart-adbd');
  expect((await adb('get-state')).stdout).toBe('device');
  expect(await phone.shell('pgrep -f "sleep 77[12]" | wc -l')).toBe('1');
  expect(await phone.shell('pgrep -f "sleep 77[2]" | wc -l')).toBe('1');
});

/** Runs aside while the phone boots: what it found is there as a whole, or not yet. */
const hook = (folder: string) =>
  `mkdir -p /data/adb/${folder}; echo 'ls /data/media >/data/local/tmp/hook.new 2>&1; mv /data/local/tmp/hook.new /data/local/tmp/hook' >/data/adb/${folder}/try.sh; chmod 755 /data/adb/${folder}/try.sh`;

test('a reboot ends everything, keeps /data, and runs the boot hook before the unlock', async () => {
  await phone.shell(`${hook('service.d')}; setsid sleep 1000 >/dev/null 2>&1 &`);
  await phone.shell('echo lost >/system/etc/lost');
  await phone.run('reboot');
  await expect
    .poll(() => phone.shell('cat /dev/.phone/log'), { timeout: 60_000 })
    .toMatch(/ hook \/data\/adb\/service\.d\/try\.sh\n[^]* completed$/);
  const found = 'cat /data/local/tmp/hook 2>/dev/null || echo nothing yet';
  await expect.poll(() => phone.shell(found), { timeout: 60_000 }).toBe('');
  expect(await phone.shell('ls /system/etc/lost 2>/dev/null || true')).toBe('');
  expect(await phone.shell('pgrep -f "sleep 100[0]" || true')).toBe('');
  expect(await phone.shell('ls /data/media')).toBe('');
  await phone.run('unlock');
  expect(await phone.shell('ls /data/media')).toBe('0');
});

test('a clean reboot tells by its properties, and gives a program the time to end', async () => {
  const watch =
    'until [ -n "$(getprop sys.shutdown.requested)" ]; do sleep 0.1; done; sleep 1; echo ended >/data/local/tmp/clean';
  await phone.shell(`setsid sh -c '${watch}' </dev/null >/dev/null 2>&1 &`);
  await phone.run('reboot', '--clean');
  expect(await phone.shell('cat /data/local/tmp/clean')).toBe('ended');
});

test('a reboot with the cable out leaves adb away', async () => {
  await phone.run('unplug');
  await phone.run('reboot');
  expect((await adb('get-state')).exitCode).not.toBe(0);
  await phone.run('plug');
  expect((await adb('shell', 'getprop sys.boot_completed')).stdout).toBe('1');
});

test('an update of Android brings another fingerprint and takes the hooks away', async () => {
  const print = await phone.shell('getprop ro.build.fingerprint');
  await phone.run('ota', '--android', '16');
  expect(await phone.shell('getprop ro.build.version.release')).toBe('16');
  expect(await phone.shell('getprop ro.build.fingerprint')).not.toBe(print);
  expect(await phone.shell('ls /data/adb/service.d/try.sh 2>/dev/null || true')).toBe('');
});

test('stop leaves no process, interface, mount or file behind', async () => {
  await phone.stop();
  // What held its namespaces goes a moment after what was in them.
  await expect.poll(snapshot, { timeout: 60_000 }).toEqual(before);
  expect(existsSync(`/run/sovereign/virtual-phones/${NAME}`)).toBe(false);
  expect(existsSync(`/run/sovereign/virtual-phone/${NAME}`)).toBe(false);
  expect(existsSync(`/var/tmp/sovereign/virtual-phone/${NAME}.data`)).toBe(false);
});
