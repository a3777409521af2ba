import type { Disk, Machine, Serial } from './arguments.ts';

export interface Files {
  /** Socket of vhost-device-vsock, where the machine has a CID. */
  vsock?: string;
  /** Descriptor of a socket whose other end leads to crosvm's standard output. */
  stdout: number;
  /** Descriptor of the monitor (QMP). */
  monitor: number;
}

const value = (text: string): string => text.replaceAll(',', ',,');

/** What crosvm's kernel line says of its 8250 UART, in the words of the PL011 that QEMU has instead. */
export const translate = (params: string): string =>
  params
    .split(' ')
    .map((word) =>
      word
        .replace(/^earlycon=uart8250,mmio,0x3f8.*$/, 'earlycon=pl011,0x09000000')
        .replace(/^earlycon$/, 'earlycon=pl011,0x09000000')
        .replace(/^console=ttyS0\b/, 'console=ttyAMA0'),
    )
    .join(' ');

/** The kernel's command line, in crosvm's order: its own words, the consoles, then --params. */
export function kernelLine({ params, serials, disks }: Machine): string {
  const root = disks.findIndex((disk) => disk.root);
  const words = [
    'panic=-1',
    ...serials.flatMap(({ console, earlycon, hardware, num }) => [
      ...(console ? [`console=${hardware === 'serial' ? 'ttyS' : 'hvc'}${num - 1}`] : []),
      ...(earlycon ? ['earlycon=uart8250,mmio,0x3f8'] : []),
    ]),
    ...(root === -1
      ? []
      : [`root=/dev/vd${String.fromCharCode(97 + root)}`, disks[root]?.readOnly === true ? 'ro' : 'rw']),
    ...params,
  ];
  return translate(words.join(' '));
}

/** The console whose input is a file: QEMU 7.2 has that on its standard input alone. */
export const withInput = ({ serials }: Machine): Serial | undefined =>
  serials.find(({ input, type }) => input !== undefined && type === 'file');

/** Why QEMU cannot stand in for this machine, or undefined where it can. */
export function refusal(machine: Machine): string | undefined {
  const { serials, unsupported, nets } = machine;
  if (unsupported.length > 0) return `nothing for ${unsupported.map((name) => `--${name}`).join(', ')}`;
  if (serials.filter(({ input }) => input !== undefined).length > 1)
    return 'one console with an input, not several';
  if (serials.some(({ hardware, num }) => hardware === 'serial' && num > 1)) return 'one UART, not several';
  if (serials.some(({ type }) => type.startsWith('unix'))) return 'no console on a socket';
  if (serials.some(({ hardware }) => hardware === 'debugcon')) return 'no debugcon';
  if (nets.some(({ tapName }) => tapName === undefined)) return 'TAP by name alone';
  return undefined;
}

/** QEMU's arguments after the binary. Pure. */
export function toArgs(machine: Machine, { vsock, stdout, monitor }: Files): string[] {
  const { memory, cpus, disks, serials, nets } = machine;
  const consoles = serials
    .filter(({ hardware }) => hardware === 'virtio-console')
    .sort((a, b) => a.num - b.num);
  return [
    ...['-M', 'virt,memory-backend=ram', '-cpu', 'cortex-a76', '-accel', 'tcg,thread=multi,tb-size=512'],
    ...['-object', `memory-backend-memfd,id=ram,size=${memory}M,share=on`],
    ...['-m', `${memory}M`, '-smp', String(cpus)],
    ...['-nodefaults', '-display', 'none', '-no-reboot', '-action', 'panic=exit-failure', '-rtc', 'base=utc'],
    ...['-chardev', `socket,id=monitor,fd=${monitor}`, '-mon', 'chardev=monitor,mode=control'],
    ...['-kernel', machine.kernel, '-append', kernelLine(machine)],
    ...(machine.initrd === undefined ? [] : ['-initrd', machine.initrd]),
    ...disks.flatMap(drive),
    ...serials
      .filter(({ hardware }) => hardware === 'serial')
      .flatMap((serial) => ['-chardev', chardev(serial, 'uart', stdout), '-serial', 'chardev:uart']),
    ...consoles.flatMap((serial, index) => [
      ...['-chardev', chardev(serial, `hvc${index}`, stdout)],
      ...['-device', `virtio-serial-pci,id=bus${index},max_ports=1`],
      ...['-device', `virtconsole,bus=bus${index}.0,chardev=hvc${index}`],
    ]),
    ...nets.flatMap(({ tapName, mac }, index) => [
      ...['-netdev', `tap,id=net${index},ifname=${tapName ?? ''},script=no,downscript=no`],
      ...['-device', `virtio-net-pci,netdev=net${index},romfile=${mac === undefined ? '' : `,mac=${mac}`}`],
    ]),
    ...(vsock === undefined
      ? []
      : [
          '-chardev',
          `socket,id=vsock,path=${value(vsock)}`,
          '-device',
          'vhost-user-vsock-pci,chardev=vsock',
        ]),
    ...(machine.balloon ? ['-device', 'virtio-balloon-pci'] : []),
    ...(machine.rng
      ? ['-object', 'rng-random,id=rng,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng']
      : []),
    ...['-device', 'pvpanic-pci'],
  ];
}

/** The lock is crosvm's, an flock, and taken outside. */
function drive({ path, readOnly, sparse, id }: Disk, index: number): string[] {
  const access = readOnly ? 'readonly=on' : 'readonly=off';
  const discard = sparse ? 'discard=unmap' : 'discard=ignore';
  return [
    '-drive',
    `if=none,id=disk${index},file=${value(path)},format=raw,${access},${discard},cache=writeback,file.locking=off`,
    '-device',
    `virtio-blk-pci,drive=disk${index}${id === undefined ? '' : `,serial=${value(id)}`}`,
  ];
}

function chardev({ type, path, input }: Serial, id: string, stdout: number): string {
  if (type === 'file' && input !== undefined) return `stdio,id=${id},signal=off`;
  if (type === 'file') return `file,id=${id},path=${value(path ?? '')},append=on`;
  if (type === 'stdout') return `socket,id=${id},fd=${stdout}`;
  return `null,id=${id}`;
}
