import type { Machine } from '../host.ts';
import type { Forward } from '../network/guest.ts';

export interface QemuOptions {
  /** Absolute path of qemu-system-aarch64. */
  binary: string;
  accelerator: 'tcg' | 'kvm';
  /** The guest reaches neither this machine, nor the outside, nor its neighbours. */
  closed?: boolean;
}

/** The address that QEMU's user network gives the guest. */
export const GUEST_ADDRESS = '10.0.2.15';

/** A value inside a QEMU option string: a comma would begin the next option, so it is doubled (QEMU manual). */
const value = (text: string): string => text.replaceAll(',', ',,');

/**
 * QEMU's arguments for one machine, the binary first. Standard input is the control channel's FIFO and standard
 * output its file (docs/formats.md, "Control channel"). Pure.
 */
export function toArgs(machine: Machine, { binary, accelerator, closed = false }: QemuOptions): string[] {
  // QEMU's manual, `restrict`: neither host nor outside are reached; forwarded ports are not affected.
  const userNetwork = `ipv6=off${closed ? ',restrict=on' : ''}`;
  return [
    binary,
    ...['-name', `sovereign-${machine.name}`],
    ...['-M', accelerator === 'kvm' ? 'virt,gic-version=host' : 'virt'],
    // `-cpu max` emulates pointer authentication, which makes a boot several times slower.
    ...['-cpu', accelerator === 'kvm' ? 'host' : 'cortex-a76'],
    ...['-accel', accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi,tb-size=512'],
    ...['-smp', String(machine.cpus)],
    ...['-m', `${machine.memory}M`],
    // A guest that restarts or panics ends the VM: the launcher decides what is next.
    ...['-nodefaults', '-display', 'none', '-monitor', 'none', '-no-reboot'],
    ...['-action', 'panic=exit-failure'],
    ...['-rtc', 'base=utc'],
    ...['-kernel', machine.kernel],
    ...['-append', `${machine.cmdline} earlycon=pl011,0x9000000`],
    ...disk('root', machine.root, 'readonly=on'),
    ...disk('data', machine.data, `readonly=off${machine.discard ? ',discard=unmap' : ''}`),
    ...disk('config', machine.config, 'readonly=on'),
    ...['-chardev', `file,id=early,path=${value(machine.earlyLog)},append=on`],
    ...['-serial', 'chardev:early'],
    // hvc0 and hvc1, a single-port console each, as crosvm makes them.
    ...['-chardev', `file,id=console,path=${value(machine.consoleLog)},append=on`],
    ...['-device', 'virtio-serial-pci,id=hvc0,max_ports=1'],
    ...['-device', 'virtconsole,bus=hvc0.0,chardev=console'],
    ...['-chardev', 'stdio,id=control,signal=off'],
    ...['-device', 'virtio-serial-pci,id=hvc1,max_ports=1'],
    ...['-device', 'virtconsole,bus=hvc1.0,chardev=control'],
    ...['-object', 'rng-random,id=rng,filename=/dev/urandom'],
    ...['-device', 'virtio-rng-pci,rng=rng'],
    ...['-device', 'pvpanic-pci'],
    ...['-netdev', [`user,id=net,${userNetwork}`, ...forwards(machine).map(forward)].join(',')],
    // Without a ROM: not every distribution installs QEMU's option ROMs.
    ...['-device', 'virtio-net-pci,netdev=net,romfile='],
    ...neighbourCard(machine, closed ? `user,id=neighbours,${userNetwork}` : undefined),
  ];
}

/**
 * `cache=writeback` passes the guest's flushes on; locking keeps a second VM off the same disk. By default QEMU stops
 * a guest for which there is no space, and here nobody would ever let it go on: the guest is told of the error.
 */
function disk(name: string, path: string, access: string): string[] {
  const errors = access === 'readonly=on' ? '' : ',werror=report';
  return [
    '-drive',
    `if=none,id=${name},file=${value(path)},format=raw,${access},cache=writeback,file.locking=on`,
    '-device',
    `virtio-blk-pci,drive=${name},serial=sov-${name}${errors}`,
  ];
}

/** This machine's guests have QEMU's user network and no other. */
const forwards = ({ network }: Machine): Forward[] => (network.mode === 'user' ? network.forwards : []);

/**
 * eth1: frames go to every machine in the group, and leave this host by its loopback interface alone.
 * @param instead another network for it
 */
function neighbourCard({ network }: Machine, instead?: string): string[] {
  if (network.mode !== 'user') return [];
  const { group, mac } = network.neighbours;
  return [
    ...['-netdev', instead ?? `socket,id=neighbours,mcast=${group},localaddr=127.0.0.1`],
    ...['-device', `virtio-net-pci,netdev=neighbours,mac=${mac},romfile=`],
  ];
}

const forward = ({ host, guest }: Forward): string =>
  `hostfwd=tcp:127.0.0.1:${host}-${GUEST_ADDRESS}:${guest}`;
