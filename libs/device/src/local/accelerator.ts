import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import type { QemuOptions } from './qemu.ts';

/** Longest time that a kernel under KVM may take for its first line, in milliseconds. */
const FIRST_LINE = 10_000;

export interface KvmQuestion {
  binary: string;
  /** A kernel to boot. */
  kernel: string;
  /** Of this machine, as Node names it. */
  arch?: string;
  device?: string;
  deadline?: number;
}

/**
 * KVM where a guest really runs under it, else emulation. That /dev/kvm opens proves nothing: there are machines
 * where it does and no guest ever executes an instruction. So a kernel is booted until its first line.
 */
export async function chooseAccelerator(question: KvmQuestion): Promise<QemuOptions['accelerator']> {
  const { arch = process.arch, device = '/dev/kvm' } = question;
  if (arch !== 'arm64') return 'tcg';
  const opens = await access(device, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  return opens && (await bootsUnderKvm(question)) ? 'kvm' : 'tcg';
}

async function bootsUnderKvm({ binary, kernel, deadline = FIRST_LINE }: KvmQuestion): Promise<boolean> {
  const probe = execa(
    binary,
    [
      ...['-M', 'virt,gic-version=host'],
      ...['-cpu', 'host'],
      ...['-accel', 'kvm'],
      ...['-m', '128M'],
      ...['-nodefaults', '-display', 'none', '-no-reboot'],
      ...['-kernel', kernel],
      ...['-append', 'earlycon=pl011,0x9000000 panic=-1'],
      ...['-serial', 'stdio'],
    ],
    {
      reject: false,
      timeout: deadline,
      killSignal: 'SIGKILL',
      stdin: 'ignore',
      stderr: 'ignore',
      buffer: false,
    },
  );
  let booted = false;
  for await (const line of createInterface({ input: probe.stdout })) {
    if (!line.includes('Linux version')) continue;
    booted = true;
    probe.kill('SIGKILL');
    break;
  }
  await probe;
  return booted;
}
