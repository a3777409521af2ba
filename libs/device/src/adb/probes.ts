import { knownFlags, neededFlags } from '../crosvm/command.ts';
import type { Probe } from '../host.ts';
import type { Capabilities, RootFlavour } from './capabilities.ts';
import { fixes } from './fix.ts';

/** MiB. */
const GIB = 1024;
/** MiB that one service needs: its images twice, its data disk, the reserve. */
const SPACE = 2 * GIB;
/** MiB of the phone's memory that a small guest can be given without apps being killed for it. */
const MEMORY = 512;
/** Degrees Celsius at which phones begin to slow down and batteries to age. */
const HOT = 45;
/** Percent. */
const LOW = 20;
/** The first release with the virtualization framework. */
const OLDEST_SDK = 33;

const flavours: Record<RootFlavour, string> = {
  adbd: 'adbd itself runs as root',
  magisk: 'Magisk, by su -c',
  kernelsu: 'KernelSU, by su -c',
  apatch: 'APatch, by su -c',
  userdebug: 'a userdebug build, by su 0',
  none: 'no way to become root was found',
};

/** What a person has to know of a phone, each with its evidence. Pure. */
export function probes(capabilities: Capabilities): Probe[] {
  return [
    android(capabilities),
    root(capabilities),
    hypervisor(capabilities),
    crosvm(capabilities),
    ...networks(capabilities),
    nameServers(capabilities),
    space(capabilities),
    memory(capabilities),
    selinux(capabilities),
    dataMount(capabilities),
    wifi(capabilities),
    doze(capabilities),
    phantomKiller(capabilities),
    battery(capabilities),
    ...predecessor(capabilities),
  ];
}

const probe = (name: string, ok: boolean, evidence: string, cure?: string): Probe => ({
  name,
  ok,
  evidence,
  ...(ok || cure === undefined ? {} : { cure }),
});

function android({ androidRelease, sdk, model }: Capabilities): Probe {
  return probe(
    'android',
    sdk >= OLDEST_SDK,
    `Android ${androidRelease} (SDK ${sdk}) on ${model}`,
    'Update the phone to Android 13 or later',
  );
}

function root({ root: had, rootRefused }: Capabilities): Probe {
  const refused = rootRefused === undefined ? '' : `; ${rootRefused} is installed and gives the shell none`;
  return probe(
    'root',
    had !== 'none',
    `${flavours[had]}${refused}`,
    rootRefused === undefined
      ? 'Root the phone with Magisk, KernelSU or APatch, or use a userdebug build'
      : `Unlock the phone, open the app of ${rootRefused}, and allow root for Shell (com.android.shell)`,
  );
}

function hypervisor({ hypervisor: node, boot, model }: Capabilities): Probe {
  const kinds = [
    ...(boot.unprotected === undefined ? [] : [`unprotected VMs ${boot.unprotected ? 'yes' : 'no'}`]),
    ...(boot.protected === undefined ? [] : [`protected VMs ${boot.protected ? 'yes' : 'no'}`]),
    ...(boot.version === undefined ? [] : [boot.version]),
  ];
  const told = kinds.length === 0 ? 'the bootloader says nothing of VMs' : kinds.join(', ');
  const cure =
    boot.unprotected === false && node !== undefined
      ? 'This phone runs protected VMs only, which a service is not: use another one'
      : model.startsWith('Pixel 6')
        ? 'Update to Android 14 or later, unlock the bootloader, and run: fastboot oem pkvm enable'
        : 'Pixels from 6 on, Exynos 2500 and MediaTek phones with GenieZone have one; on a Pixel run: fastboot oem pkvm enable';
  return probe(
    'hypervisor',
    node !== undefined && boot.unprotected !== false,
    `${node ?? 'none of /dev/kvm, /dev/gzvm, /dev/halla, /dev/gunyah'}; ${told}`,
    cure,
  );
}

function crosvm(capabilities: Capabilities): Probe {
  const { crosvm: found, platform } = capabilities;
  if (found === undefined) {
    return probe(
      'crosvm',
      false,
      'not in /apex/com.android.virt/bin',
      'Use a phone with the Android Virtualization Framework; some makers leave it out',
    );
  }
  const flags = knownFlags(found, capabilities);
  const { structured, flat } = neededFlags('vsock');
  const spelling = structured.every((flag) => flags.has(flag)) ? 'structured' : 'flat';
  const lacking = (spelling === 'structured' ? structured : flat).filter((flag) => !flags.has(flag));
  const listed = found.flags.size === 0 ? 'its help lists no options' : `${found.flags.size} options`;
  const module = / virt (\S+) /.exec(platform)?.[1] ?? 'unknown';
  const told = probe(
    'crosvm',
    lacking.length === 0,
    `${found.path}, sha256 ${found.sha256.slice(0, 12)}, ${listed}, ` +
      (lacking.length === 0 ? `${spelling} spelling` : `lacks ${lacking.join(', ')}`) +
      `, virtualization module ${module}`,
    'Update Android or its virtualization module (Google Play system update)',
  );
  return { ...told, details: [...found.flags].sort() };
}

/** One of the two is enough. */
function networks({ vhostVsock, tun }: Capabilities): Probe[] {
  const there = (path: string, is: boolean) => (is ? path : `no ${path}`);
  const either = vhostVsock || tun;
  const cure = 'Guests have no network without one of the two; use another phone';
  const instead = (mode: string) => (either ? `: deploy with --network ${mode}` : '');
  return [
    probe(
      'vsock',
      either,
      `${there('/dev/vhost-vsock', vhostVsock)}${vhostVsock ? '' : instead('tap')}`,
      cure,
    ),
    probe('tun', either, `${there('/dev/net/tun', tun)}${tun ? '' : instead('vsock')}`, cure),
  ];
}

function nameServers({ dns }: Capabilities): Probe {
  return probe(
    'name servers',
    dns.length > 0,
    dns.length > 0 ? `${dns.join(', ')}, from the phone’s uplink` : 'the phone’s uplink names none over IPv4',
    'Connect the phone to a network, or name servers in the device’s settings (docs/use.md)',
  );
}

function space({ freeSpace }: Capabilities): Probe {
  return probe(
    'space',
    freeSpace !== undefined && freeSpace >= SPACE,
    freeSpace === undefined ? 'unknown' : `${(freeSpace / GIB).toFixed(1)} GiB free`,
    `Free some space: one service needs about ${SPACE / GIB} GiB`,
  );
}

function memory({ memory: total, memoryAvailable }: Capabilities): Probe {
  return probe(
    'memory',
    memoryAvailable >= MEMORY,
    `${(memoryAvailable / GIB).toFixed(1)} of ${(total / GIB).toFixed(1)} GiB available`,
    `A service needs about ${MEMORY} MiB beside everything else: close or remove apps, or restart the phone`,
  );
}

function selinux({ selinux: state, root: had }: Capabilities): Probe {
  const told = state === '' ? 'unknown' : state;
  return probe('selinux', true, had === 'none' ? told : `${told}; VMs run in the domain of root`);
}

function dataMount({ data }: Capabilities): Probe {
  if (data === undefined) return probe('/data', true, 'its mount is not shown');
  const risky = data.options.includes('fsync_mode=nobarrier') || data.options.includes('nobarrier');
  return probe(
    '/data',
    true,
    risky
      ? `${data.type} without barriers (fsync_mode=nobarrier): when power is cut hard, what was acknowledged last may be lost; ` +
          'a charged battery protects from it, and backups do'
      : `${data.type}, ${data.options.join(',')}`,
  );
}

function wifi({ wifi: used }: Capabilities): Probe {
  if (used === undefined) return probe('wi-fi', true, 'not in use');
  const state = { true: ', saves power now', false: ', saves no power now', undefined: '' } as const;
  return probe(
    'wi-fi',
    true,
    `${used.device}${state[`${used.powerSave}`]}; while a service is wanted, it is kept from saving power`,
  );
}

function doze({ doze: state }: Capabilities): Probe {
  return probe(
    'doze',
    true,
    state === undefined
      ? 'not told'
      : `${state}; it stops apps, not services: while one is wanted, a wake lock keeps the phone from suspending`,
  );
}

function phantomKiller(capabilities: Capabilities): Probe {
  const { monitor, limit, sync } = capabilities.phantom;
  const needed = fixes.some(({ name, needed }) => name === 'phantom killer' && needed(capabilities));
  return probe(
    'phantom killer',
    !needed,
    `monitor ${monitor === 'null' ? 'on (default)' : monitor}, limit ${limit === 'null' ? '32 (default)' : limit}, ` +
      `kept ${sync === 'null' ? 'unknown' : sync}`,
    'sovereign doctor -s SERIAL --fix turns it off, and remove takes that back',
  );
}

function battery({ battery: state }: Capabilities): Probe {
  if (state === undefined) return probe('battery', true, 'none is told');
  const { level, celsius, plugged } = state;
  return probe(
    'battery',
    celsius < HOT && (plugged || level >= LOW),
    `${level} %, ${celsius.toFixed(1)} °C, ${plugged ? 'plugged in' : 'not plugged in'}`,
    celsius < HOT
      ? 'Plug the phone in'
      : 'Let the phone cool down: take off its cover, keep it out of the sun',
  );
}

function predecessor({ foreign }: Capabilities): Probe[] {
  return foreign.length === 0
    ? []
    : [probe('predecessor', true, `${foreign.join(', ')} of an earlier Sovereign, left alone`)];
}
