import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

export interface Boot {
  /** What came over hvc0. */
  console: string;
  /** What came over hvc1. */
  second: Buffer;
  /** What came over the PL011, where the kernel speaks before virtio is up. */
  uart: string;
  exitCode: number | undefined;
}

/** A guest that hangs is killed after this time, in milliseconds. */
const DEADLINE = 120_000;

/**
 * Boots a kernel and a root image in QEMU until the guest turns itself off.
 * @param folder where the consoles are written to
 * @param words more of the kernel's command line
 */
export async function boot(
  kernel: string,
  root: string,
  folder: string,
  words: readonly string[] = [],
): Promise<Boot> {
  const file = (name: string) => join(folder, name);
  const { exitCode } = await execa(
    'qemu-system-aarch64',
    [
      ...['-M', 'virt'],
      ...['-cpu', 'cortex-a76'],
      ...['-accel', 'tcg,thread=multi'],
      ...['-smp', '2'],
      ...['-m', '256M'],
      ...['-nodefaults', '-display', 'none', '-monitor', 'none', '-no-reboot'],
      ...['-kernel', kernel],
      ...[
        '-append',
        ['root=/dev/vda ro rootfstype=erofs console=hvc0 earlycon panic=-1', ...words].join(' '),
      ],
      ...['-drive', `if=none,id=root,file=${root},format=raw,readonly=on`],
      ...['-device', 'virtio-blk-pci,drive=root'],
      ...virtioConsole('hvc0', file('hvc0')),
      ...virtioConsole('hvc1', file('hvc1')),
      ...['-serial', `file:${file('uart')}`],
      ...['-netdev', 'user,id=net,restrict=on'],
      ...['-device', 'virtio-net-pci,netdev=net,romfile='],
      ...['-device', 'virtio-rng-pci'],
      ...['-device', 'virtio-balloon-pci'],
      ...['-device', 'pvpanic-pci'],
    ],
    { timeout: DEADLINE, killSignal: 'SIGKILL', reject: false, stdin: 'ignore' },
  );
  return {
    console: await readFile(file('hvc0'), 'utf8'),
    second: await readFile(file('hvc1')),
    uart: await readFile(file('uart'), 'utf8'),
    exitCode,
  };
}

/** A virtio console with one port, as crosvm makes them. */
const virtioConsole = (name: string, path: string): string[] => [
  ...['-chardev', `file,id=${name},path=${path}`],
  ...['-device', `virtio-serial-pci,id=${name}-bus,max_ports=1`],
  ...['-device', `virtconsole,bus=${name}-bus.0,chardev=${name}`],
];
