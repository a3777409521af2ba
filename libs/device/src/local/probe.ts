import { freemem, totalmem } from 'node:os';
import { mkdir, statfs } from 'node:fs/promises';
import { toSovereignError } from '@sovereign/report';
import type { Probe } from '../host.ts';
import { findProgram, findQemu } from './find-qemu.ts';

const GIB = 2 ** 30;

/** Programs of this machine that the launcher and the client need, each with the Debian package that brings it. */
const programs = {
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  flock: 'util-linux',
  setsid: 'util-linux',
};

/** What this machine can do as a device. */
export async function probeLocal(root: string): Promise<Probe[]> {
  return [
    await qemu(),
    ...(await Promise.all(Object.entries(programs).map(program))),
    await space(root),
    memory(),
  ];
}

async function qemu(): Promise<Probe> {
  try {
    const { binary, version } = await findQemu();
    return { name: 'qemu', ok: true, evidence: `${binary}, version ${version}` };
  } catch (thrown) {
    const { what, hint } = toSovereignError(thrown);
    return { name: 'qemu', ok: false, evidence: what, ...(hint === undefined ? {} : { cure: hint }) };
  }
}

async function program([name, debian]: [string, string]): Promise<Probe> {
  const path = await findProgram(name);
  return path === undefined
    ? {
        name,
        ok: false,
        evidence: 'not installed',
        cure: `Install ${name} (Debian: apt-get install ${debian})`,
      }
    : { name, ok: true, evidence: path };
}

async function space(root: string): Promise<Probe> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  const { bavail, bsize } = await statfs(root);
  const free = bavail * bsize;
  const evidence = `${(free / GIB).toFixed(1)} GiB free in ${root}`;
  return free > GIB
    ? { name: 'space', ok: true, evidence }
    : { name: 'space', ok: false, evidence, cure: 'Free some space: one service needs about 1 GiB' };
}

function memory(): Probe {
  const evidence = `${(freemem() / GIB).toFixed(1)} of ${(totalmem() / GIB).toFixed(1)} GiB free`;
  return totalmem() > GIB
    ? { name: 'memory', ok: true, evidence }
    : { name: 'memory', ok: false, evidence, cure: 'A virtual machine needs 256 MiB beside everything else' };
}
