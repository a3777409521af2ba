import { realpath } from 'node:fs/promises';
import { basename, delimiter, dirname, isAbsolute, join } from 'node:path';
import { existsSync } from 'node:fs';
import { SovereignError } from '@sovereign/report';
import { workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';
import { vhostDeviceVsock } from './vsock.ts';

/** Where a file of this machine is inside a phone. */
const inPhone = (path: string): string =>
  path.startsWith(`${workspaceRoot()}/`)
    ? path.replace(workspaceRoot(), '/.phone/checkout')
    : `/.host${path}`;

function findProgram(name: string, cure: string): string {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].filter(isAbsolute);
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new SovereignError({
    code: 'needs-tools',
    what: `${name} is missing`,
    on: 'this machine',
    hint: cure,
  });
}

/** What a phone needs of this machine beside the programs of its own tree. */
export function checkMachine(): void {
  if (process.getuid?.() !== 0) {
    throw new SovereignError({
      code: 'needs-root',
      what: 'a test phone has network interfaces and mounts of its own, which takes root',
      on: 'this machine',
      hint: 'Run it as root',
    });
  }
  const packages = {
    adb: 'adb',
    ip: 'iproute2',
    ss: 'iproute2',
    'mkfs.ext4': 'e2fsprogs',
    nsenter: 'util-linux',
  };
  for (const [name, apt] of Object.entries(packages)) findProgram(name, `On Debian: apt-get install ${apt}`);
}

/** Folders of the libraries that these programs of this machine load, and their loader. */
async function loading(programs: readonly string[]): Promise<{ loader: string; folders: string[] }> {
  const folders = new Set<string>();
  let loader = '';
  for (const program of programs) {
    const { stdout } = await execa('ldd', [program]);
    for (const line of stdout.split('\n')) {
      const path = /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1];
      if (path === undefined) continue;
      if (basename(path).startsWith('ld-linux')) loader = await realpath(path);
      else folders.add(dirname(await realpath(path)));
    }
  }
  return { loader, folders: [...folders] };
}

/** The lines of a phone's configuration by which its crosvm finds QEMU and what goes with it. */
export async function hostLines(): Promise<string[]> {
  const qemu = findProgram('qemu-system-aarch64', 'On Debian: apt-get install qemu-system-arm');
  const vsock = await vhostDeviceVsock();
  const { loader, folders } = await loading([process.execPath, qemu, vsock]);
  return [
    `host-loader ${inPhone(loader)}`,
    `host-libraries ${folders.map(inPhone).join(':')}`,
    `node ${inPhone(process.execPath)}`,
    `qemu ${inPhone(await realpath(qemu))}`,
    `vhost-device-vsock ${inPhone(vsock)}`,
  ];
}
