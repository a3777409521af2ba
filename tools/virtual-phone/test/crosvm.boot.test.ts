import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { whileBuilt } from '../src/built.ts';
import { Phone } from './phone.ts';

const NAME = 'crosvm-test';
const CROSVM = '/apex/com.android.virt/bin/crosvm';
let phone: Phone;
let port: string;

const adb = (...args: string[]) =>
  execa('adb', ['-P', port, '-s', phone.serial, ...args], { reject: false, timeout: 240_000, all: true });

/** Runs a script as root in a folder with the kernel and the image of PostgreSQL. */
const asRoot = async (script: string) => {
  const { exitCode, all } = await adb('shell', `su -c 'cd /data/local/tmp && ${script}'`);
  return { status: exitCode, output: all };
};

/** A machine that runs `init` as its first process; `log` is the rest of its console. */
const machine = (init: string, ...more: string[]) =>
  [
    CROSVM,
    '--extended-status run --disable-sandbox --mem 256 --cpus 1 --no-balloon',
    '--serial type=file,path=log,hardware=virtio-console,num=1,console=true',
    '--disk root.erofs,id=sov-root',
    ...more,
    `-p "root=/dev/vda ro rootfstype=erofs quiet init=${init}" Image </dev/null`,
  ].join(' ');

beforeAll(async () => {
  phone = await Phone.start(NAME, '--cpus', '1');
  port = (await readFile(`/run/sovereign/virtual-phones/${NAME}`, 'utf8')).trim().split(' ')[1] ?? '';
  const files = ['packages/kernel/dist/Image', 'packages/rootfs-sql/dist/root.erofs'];
  await whileBuilt(() =>
    adb('push', ...files.map((file) => join(workspaceRoot(), file)), '/data/local/tmp/'),
  );
});

afterAll(() => phone.stop());

test('its version tells nothing, its help tells what the release takes', async () => {
  expect((await adb('shell', `${CROSVM} version`)).stdout).toBe('crosvm 0.1.0');
  const { stdout } = await adb('shell', `${CROSVM} run --help`);
  expect(stdout).toMatch(/^ {2}-b, --block /m);
  expect(stdout).not.toContain('--no-pmu');
});

test('arguments that the release does not know end with 35, or 1 without extended status', async () => {
  const line = 'run --no-pmu Image';
  const extended = await adb('shell', `${CROSVM} --extended-status ${line}`);
  expect(extended.all).toBe('arg parsing failed: Unrecognized argument: --no-pmu');
  expect(extended.exitCode).toBe(35);
  expect((await adb('shell', `${CROSVM} ${line}`)).exitCode).toBe(1);
});

test('a stop of the guest, a reset and a panic have statuses of their own', async () => {
  expect(await asRoot(machine('/bin/busybox -- poweroff -f'))).toEqual({ status: 0, output: '' });
  expect(await asRoot(machine('/bin/busybox -- reboot -f'))).toEqual({ status: 32, output: '' });
  expect(await asRoot(machine('/bin/busybox -- true'))).toEqual({ status: 34, output: '' });
  expect(await phone.shell('cat /data/local/tmp/log')).toContain('Attempted to kill init');
});

test('more processors than the phone bears reset the guest before it says anything', async () => {
  const two = machine('/bin/busybox -- poweroff -f').replace('--cpus 1', '--cpus 2');
  expect(await asRoot(two)).toEqual({ status: 32, output: '' });
});

test('a file that is no kernel is refused as crosvm does it', async () => {
  const { status, output } = await asRoot(`${CROSVM} --extended-status run root.erofs`);
  expect(output).toContain('Invalid magic number');
  expect(status).toBe(1);
});

test('a disk is locked while a machine runs, and killing crosvm leaves neither process nor lock', async () => {
  const sleeping = machine('/bin/busybox -- sleep 1000', '--rwdisk data,id=sov-data', '--cid 9');
  await phone.shell('truncate -s 1m /data/local/tmp/data');
  const first = asRoot(`echo $$ >pid; exec ${sleeping}`);
  const processes = () => phone.shell('pgrep -f "qemu-syste[m]|vhost-devic[e]" | wc -l');
  await expect.poll(processes, { timeout: 120_000, interval: 200 }).toBe('2');
  const second = await asRoot(machine('/bin/busybox -- sleep 1000', '--rwdisk data'));
  expect(second.output).toContain('failed to lock disk image: data');
  expect(second.status).toBe(1);
  await phone.shell('kill -9 $(cat /data/local/tmp/pid)');
  expect((await first).status).toBe(137);
  await expect.poll(processes, { timeout: 120_000, interval: 100 }).toBe('0');
  // A process that ends has no arguments any more before it lets go of its files.
  await expect
    .poll(() => phone.shell('flock -n 9 9</data/local/tmp/data && echo free'), {
      timeout: 120_000,
      interval: 100,
    })
    .toBe('free');
});

test('an input file reaches the guest, and its console is appended to', async () => {
  const script = 'echo ready >/dev/hvc1; head -n 1 </dev/hvc1 >/dev/hvc1; poweroff -f';
  const control = '--serial type=file,path=out,input=in,hardware=virtio-console,num=2';
  await phone.shell('cd /data/local/tmp && rm -f in && mkfifo in && echo before >out');
  await phone.shell(`cat >/data/local/tmp/talk.sh <<'EOF'
cd /data/local/tmp
exec 3<>in
(timeout 200 sh -c "until grep -q ready out; do sleep 0.2; done"; echo hello >in) &
${machine(`/bin/busybox -- sh -c \\"${script}\\"`, control)}
EOF`);
  expect(await asRoot('sh talk.sh')).toEqual({ status: 0, output: '' });
  expect(await phone.shell('cat /data/local/tmp/out')).toMatch(/^before\n[\s\S]*hello/);
});

test('the control socket stops a machine, and a stale one is told', async () => {
  const running = asRoot(machine('/bin/busybox -- sleep 1000', '--socket sock'));
  await expect
    .poll(() => phone.shell('cd /data/local/tmp; test -S sock && pgrep -f qemu-syste[m] | wc -l'), {
      timeout: 120_000,
    })
    .toBe('1');
  expect((await asRoot(`${CROSVM} powerbtn sock`)).status).toBe(1);
  expect((await asRoot(`${CROSVM} stop sock`)).status).toBe(0);
  expect(await running).toEqual({ status: 0, output: '' });
});
