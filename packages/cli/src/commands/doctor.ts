import { statfs } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Device, Probe } from '@sovereign/device';
import { step } from '@sovereign/report';
import { cacheDir } from '@sovereign/store';
import { confirm } from '../ask.ts';
import { announce } from '../device.ts';
import { probeDevice, probeLine } from '../probes.ts';
import type { Run, Session } from '../session.ts';
import { missingTools, provideTools, tools } from '../system.ts';

/** Room for sources and builds, in bytes. */
const CACHE = 6e9;

export const doctor: Run = async (session) => {
  const { flags, own, signal } = session;
  if (own.fix === true) await provideTools(Object.values(tools), { install: flags.install, signal });
  const machine = [await spaceProbe('space for caches', cacheDir(), CACHE)];
  const devices = flags.serial === undefined ? await session.devices.used() : [await session.devices.pick()];
  // Only the device that was named: nobody else's phone is changed.
  if (own.fix === true && flags.serial !== undefined)
    await Promise.all(devices.map((device) => fixDevice(session, device)));
  const probed = await Promise.all(
    devices.map(async (device) => ({ id: device.id, probes: await probeDevice(device) })),
  );
  const ok = [...machine, ...probed.flatMap(({ probes }) => probes)].every((probe) => probe.ok);
  const lines = [
    'this machine',
    ...machine.map((probe) => `  ${probeLine(probe)}`),
    ...probed.flatMap(({ id, probes }) => [
      `device ${id}`,
      ...probes.map((probe) => `  ${probeLine(probe)}`),
    ]),
  ];
  const missing = await missingTools(Object.values(tools));
  if (missing.length > 0) lines.push('sovereign doctor --fix installs what this machine lacks');
  return { json: { ok, machine, devices: probed }, text: lines.join('\n'), exit: ok ? 0 : 1 };
};

async function fixDevice(session: Session, device: Device): Promise<void> {
  const settings = await device.fixable();
  if (settings.length === 0) return;
  announce(device);
  await confirm(
    session,
    `set on ${device.id}, until its last service is removed: ${settings.join('; ')}`,
    'doctor',
  );
  await step(`set up ${device.id}`, () => device.fix());
}

async function spaceProbe(name: string, path: string, wanted: number): Promise<Probe> {
  let folder = path;
  while (!existsSync(folder)) folder = dirname(folder);
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const evidence = `${(free / 1e9).toFixed(1)} GB free in ${path}`;
  if (free >= wanted) return { name, ok: true, evidence };
  return {
    name,
    ok: false,
    evidence,
    cure: `Free some space: ${(wanted / 1e9).toFixed(1)} GB are wanted there`,
  };
}
