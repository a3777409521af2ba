import { SovereignError } from '@sovereign/report';
import type { Capabilities, Crosvm } from '../adb/capabilities.ts';
import type { Machine, VmmCommand } from '../host.ts';
import type { NetworkMode } from '../network/guest.ts';
import { flagsOf, type Flag } from './flags.ts';

export interface CrosvmOptions {
  /** How many virtual CPUs the owner allows; one by default, since several phones reset a guest that has more. */
  cpus?: number;
}

/** What crosvm takes as the kernel's command line on arm64, in bytes. */
const CMDLINE = 2048;

/**
 * The guest's kernel parameters that crosvm's machine asks for: where its first UART is, all four of them, and no MPAM,
 * whose registers some hypervisors do not emulate (Android's own guests are started with the last two).
 */
const PARAMS = 'earlycon=uart8250,mmio,0x3f8 8250.nr_uarts=4 arm64.nompam';

/** Structured options came with Android 14; the flat ones are deprecated and still taken by the newest sources. */
type Spelling = 'structured' | 'flat';

/**
 * crosvm's arguments for one machine, the binary first. The spelling that this phone's crosvm lists comes first, and the
 * other one after it, so that an update of Android in the night does not end a service. Pure.
 * @throws SovereignError where no variant can express what the machine needs
 */
export function crosvmCommand(
  machine: Machine,
  capabilities: Capabilities,
  { cpus = 1 }: CrosvmOptions = {},
): VmmCommand {
  const crosvm = usableCrosvm(capabilities);
  refuseMissing(machine, capabilities);
  refuseUnsafe(machine);
  const flags = knownFlags(crosvm, capabilities);
  const wanted = neededFlags(machine.network.mode);
  const listed = (['structured', 'flat'] as const).filter((spelling) =>
    wanted[spelling].every((flag) => flags.has(flag)),
  );
  const [best] = listed;
  if (best === undefined) {
    const lacking = wanted.flat.filter((flag) => !flags.has(flag));
    throw new SovereignError({
      code: 'unsupported-crosvm',
      what: `this phone’s crosvm lacks ${lacking.join(', ')}, which ${machine.name} needs`,
      on: crosvm.path,
      hint: 'Update Android or its virtualization module (Google Play system update)',
    });
  }
  const spellings: Spelling[] = best === 'structured' ? ['structured', 'flat'] : ['flat', 'structured'];
  const optional = new Set((['--no-usb', '--name'] as const).filter((flag) => flags.has(flag)));
  return {
    variants: ladder(cpus).flatMap((count) =>
      spellings.map((spelling) => ({
        // What was not seen on this phone is tried with nothing that could be refused too.
        argv: toArgs(machine, crosvm.path, spelling, count, spelling === best ? optional : new Set()),
        cpus: count,
      })),
    ),
    control: 'file',
    extendedExit: true,
  };
}

/** A guest that does not start with many CPUs may start with two, and nearly always with one. */
const ladder = (cpus: number): number[] => [...new Set([cpus, 2, 1])].filter((count) => count <= cpus);

function toArgs(
  machine: Machine,
  binary: string,
  spelling: Spelling,
  cpus: number,
  optional: ReadonlySet<Flag>,
): string[] {
  const { name, consoleLog, earlyLog, control } = machine;
  return [
    binary,
    '--extended-status',
    'run',
    // Android's kernels have no PID namespaces, which the sandbox needs.
    '--disable-sandbox',
    ...(optional.has('--name') ? ['--name', `sov-${name}`] : []),
    ...(optional.has('--no-usb') ? ['--no-usb'] : []),
    '--no-balloon',
    ...['--mem', String(machine.memory)],
    ...['--cpus', String(cpus)],
    ...['--params', `${machine.cmdline} ${PARAMS}`],
    // The first UART for what the kernel says early; hvc0 and hvc1, a single-port virtio console each.
    ...['--serial', `type=file,hardware=serial,num=1,path=${earlyLog}`],
    ...['--serial', `type=file,hardware=virtio-console,num=1,path=${consoleLog}`],
    ...['--serial', `type=file,hardware=virtio-console,num=2,path=${control.output},input=${control.input}`],
    ...disks(machine, spelling),
    ...network(machine, spelling),
    machine.kernel,
  ];
}

/**
 * The root disk first, since its name on the kernel's command line is /dev/vda; the guest finds the others by their id.
 * `sparse=false` allocates the disk where it is not, and takes no discard: it would give space back that was taken so
 * that the phone cannot run out of it. From Android 15-QPR1 on crosvm locks every disk itself; before that what the
 * launcher knows is the only guard.
 */
function disks({ root, data, config, discard }: Machine, spelling: Spelling): string[] {
  return spelling === 'structured'
    ? [
        ...['--block', `path=${root},ro=true,id=sov-root`],
        ...['--block', `path=${data},sparse=${discard},id=sov-data`],
        ...['--block', `path=${config},ro=true,id=sov-config`],
      ]
    : [
        ...['--disk', `${root},id=sov-root`],
        ...['--rwdisk', `${data},sparse=${discard},id=sov-data`],
        ...['--disk', `${config},id=sov-config`],
      ];
}

/** Only the structured spelling takes a MAC with a TAP device; the guest gives itself the same one in any case. */
function network({ network }: Machine, spelling: Spelling): string[] {
  switch (network.mode) {
    case 'vsock':
      return spelling === 'structured' ? ['--vsock', `cid=${network.cid}`] : ['--cid', String(network.cid)];
    case 'tap':
      return spelling === 'structured'
        ? ['--net', `tap-name=${network.name},mac=${network.mac}`]
        : ['--tap-name', network.name];
    case 'user':
      return [];
  }
}

/** Options without which a spelling cannot express a machine with that network. */
export function neededFlags(mode: NetworkMode): Record<Spelling, Flag[]> {
  const both: Flag[] = ['--disable-sandbox', '--no-balloon', '--mem', '--cpus', '--params', '--serial'];
  const tap = mode === 'tap';
  return {
    structured: [...both, '--block', tap ? '--net' : '--vsock'],
    flat: [...both, '--disk', '--rwdisk', tap ? '--tap-name' : '--cid'],
  };
}

/** Its own list, or that of its release where it gave none that can be read. */
export const knownFlags = ({ flags }: Crosvm, { androidRelease }: Capabilities): ReadonlySet<string> =>
  flags.size > 0 ? flags : flagsOf(Number.parseFloat(androidRelease));

function usableCrosvm({ crosvm, androidRelease }: Capabilities): Crosvm {
  if (crosvm !== undefined) return crosvm;
  throw new SovereignError({
    code: 'no-crosvm',
    what: 'this phone has no crosvm',
    on: `Android ${androidRelease}`,
    hint: 'Use a phone with the Android Virtualization Framework (Android 13 or later; `sovereign doctor -s SERIAL` says what is there)',
  });
}

function refuseMissing({ name, network }: Machine, capabilities: Capabilities): void {
  const { hypervisor, boot, vhostVsock, tun } = capabilities;
  const refuse = (code: string, what: string, hint: string): never => {
    throw new SovereignError({ code, what, on: name, hint });
  };
  if (hypervisor === undefined) {
    refuse(
      'no-hypervisor',
      'this phone shows no hypervisor',
      'sovereign doctor -s SERIAL says how it is enabled',
    );
  }
  if (boot.unprotected === false) {
    refuse(
      'no-unprotected-vms',
      'this phone runs protected virtual machines only, and a service is none',
      'Use another phone',
    );
  }
  if (network.mode === 'user') {
    refuse('no-user-network', 'crosvm has no user network', 'Choose the network vsock or tap');
  }
  if (network.mode === 'vsock' && !vhostVsock) {
    refuse('no-vsock', 'this phone has no /dev/vhost-vsock', 'Choose the other network: --network tap');
  }
  if (network.mode === 'tap' && !tun) {
    refuse('no-tun', 'this phone has no /dev/net/tun', 'Choose the other network: --network vsock');
  }
}

/** Android 13's crosvm has no way to quote, so a value with a separator in it could not be expressed everywhere. */
function refuseUnsafe(machine: Machine): void {
  const { kernel, root, data, config, consoleLog, earlyLog, control, cmdline } = machine;
  const paths = [kernel, root, data, config, consoleLog, earlyLog, control.output, control.input];
  const unsafe = paths.find((path) => !/^\/[\w./-]+$/.test(path));
  if (unsafe !== undefined) {
    throw new SovereignError({
      code: 'bad-path',
      what: 'crosvm takes paths of letters, digits, dots, dashes and slashes only',
      on: unsafe,
      hint: 'Choose another folder on the phone',
    });
  }
  const length = Buffer.byteLength(`${cmdline} ${PARAMS}`);
  if (length > CMDLINE) {
    throw new SovereignError({
      code: 'long-cmdline',
      what: `the kernel’s command line has ${length} bytes, and crosvm takes ${CMDLINE}`,
      on: machine.name,
    });
  }
}
