import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { kernelCommandLine } from '../cmdline.ts';
import type { Machine } from '../host.ts';
import { chooseAccelerator } from './accelerator.ts';
import { findQemu } from './find-qemu.ts';
import { toArgs } from './qemu.ts';

// Programs are run here, on a machine that may have other work.
vi.setConfig({ testTimeout: 60_000 });

const machine: Machine = {
  name: 'sql',
  kernel: '/store/kernel',
  cmdline: kernelCommandLine(),
  root: '/store/root, with a comma',
  data: '/services/sql/data.img',
  discard: false,
  config: '/services/sql/config.img',
  memory: 256,
  cpus: 2,
  consoleLog: '/services/sql/log/console.log',
  earlyLog: '/services/sql/log/early.log',
  control: { output: '/services/sql/agent.out', input: '/services/sql/agent.in' },
  network: {
    mode: 'user',
    forwards: [
      { host: 15_432, guest: 5432 },
      { host: 12_202, guest: 22 },
    ],
    neighbours: { group: '239.255.7.9:30000', mac: '52:53:56:00:00:02' },
  },
};

/** A folder with a program of this name, for a search path. */
function folderWith(name: string, script: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'sovereign-qemu-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, name), 0o755);
  return folder;
}
const qemu = 'qemu-system-aarch64';

describe('the arguments', () => {
  test.for(['tcg', 'kvm'] as const)('are as before, under %s', async (accelerator) => {
    const args = toArgs(machine, { binary: '/usr/bin/qemu-system-aarch64', accelerator });
    await expect(`${args.join('\n')}\n`).toMatchFileSnapshot(`../testdata/qemu-${accelerator}.args`);
  });

  const all = toArgs(machine, { binary: qemu, accelerator: 'tcg' }).join('\n');

  test('give back what the guest discards of a thin data disk, and of no other', () => {
    const thin = toArgs({ ...machine, discard: true }, { binary: qemu, accelerator: 'tcg' }).join('\n');
    expect(thin.match(/if=none,id=.*discard=.*/g)).toEqual([
      'if=none,id=data,file=/services/sql/data.img,format=raw,readonly=off,discard=unmap,cache=writeback,file.locking=on',
    ]);
    expect(thin.replace('discard=unmap,', '')).toBe(all);
  });

  test('keep the guest’s ports on loopback', () => {
    expect(all.match(/hostfwd=\S+?:\S+?:/g)).toEqual(
      ['hostfwd=tcp:127.0.0.1:', ',hostfwd=tcp:127.0.0.1:'].map((s) => s.replace(',', '')),
    );
  });

  test('keep the network of neighbours on loopback', () => {
    expect(all.match(/mcast=\S+/g)).toEqual(['mcast=239.255.7.9:30000,localaddr=127.0.0.1']);
  });

  test('take everything but its ports from a guest that is closed', () => {
    const args = toArgs(machine, { binary: qemu, accelerator: 'tcg', closed: true });
    const networks = args.filter((_, index) => args[index - 1] === '-netdev');
    expect(networks).toEqual([
      'user,id=net,ipv6=off,restrict=on,hostfwd=tcp:127.0.0.1:15432-10.0.2.15:5432,hostfwd=tcp:127.0.0.1:12202-10.0.2.15:22',
      'user,id=neighbours,ipv6=off,restrict=on',
    ]);
    expect(args.filter((word) => word.startsWith('virtio-net'))).toHaveLength(2);
  });

  test('lock every disk, pass flushes on, and write to the data disk alone', () => {
    const disks = all.split('\n').filter((word) => word.startsWith('if=none'));
    expect(disks).toHaveLength(3);
    for (const disk of disks) expect(disk).toMatch(/cache=writeback,file\.locking=on$/);
    expect(disks.filter((disk) => disk.includes('readonly=off'))).toEqual([disks[1]]);
    expect(disks[1]).toContain('data.img');
  });

  test('hold a path with a comma as one path', () => {
    expect(all).toContain('file=/store/root,, with a comma,format=raw');
  });

  test('give the kernel no more than the fixed line', () => {
    expect(kernelCommandLine()).toBe(
      'root=/dev/vda ro rootfstype=erofs init=/sbin/init console=hvc0 panic=-1 loglevel=4',
    );
  });
});

describe('the machine’s QEMU', () => {
  test('is found with its version', async () => {
    const folder = folderWith(qemu, 'echo "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"');
    expect(await findQemu(folder)).toEqual({ binary: join(folder, qemu), version: '7.2.22' });
  });

  test.for([
    ['missing', 'other', 'true', 'no-qemu'],
    ['too old', qemu, 'echo "QEMU emulator version 7.1.9"', 'old-qemu'],
    ['far too old', qemu, 'echo "QEMU emulator version 6.2.0"', 'old-qemu'],
    ['broken', qemu, 'echo "error while loading shared libraries" >&2; exit 127', 'no-qemu'],
  ] as const)('that is %s is a clear error with a cure', async ([, name, script, code]) => {
    const found = findQemu(folderWith(name, script));
    await expect(found).rejects.toMatchObject({
      code,
      hint: expect.stringMatching(/nstall|pgrade/) as string,
    });
  });
});

describe('KVM', () => {
  const ask = (script: string, { arch = 'arm64', deadline = 60_000 } = {}) =>
    chooseAccelerator({
      binary: join(folderWith(qemu, script), qemu),
      kernel: '/store/kernel',
      arch,
      device: '/dev/null',
      deadline,
    });

  test('is used where a kernel really boots under it', async () => {
    expect(await ask('echo "[ 0.0 ] Linux version 6.12"; exec sleep 60')).toBe('kvm');
  });

  test('is not used where the device opens but nothing runs, within the deadline', async () => {
    const begin = performance.now();
    expect(await ask('exec sleep 60', { deadline: 1000 })).toBe('tcg');
    expect(performance.now() - begin).toBeLessThan(30_000);
  });

  test('is not used where QEMU refuses it, nor on another architecture', async () => {
    expect(await ask('echo "failed to initialize kvm" >&2; exit 1')).toBe('tcg');
    expect(await ask('echo "Linux version"', { arch: 'x64' })).toBe('tcg');
  });
});
