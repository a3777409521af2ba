import { statfs } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Probe } from '@sovereign/device';
import { cacheDir, configDir, dataDir } from '@sovereign/store';
import { allDevices, pickDevice } from '../device.ts';
import { probeDevice, probeLine } from '../probes.ts';
import type { Run } from '../session.ts';
import { provideTools, tools } from '../system.ts';

/** Room for sources, builds and a data disk, in bytes. */
const WANTED = { cache: 6e9, data: 4e9, config: 1e6 };

export const doctor: Run = async (session) => {
  const { flags, own, signal } = session;
  if (own.fix === true) await provideTools(Object.values(tools), { install: flags.install, signal });
  const machine = [...(await toolProbes()), ...(await spaceProbes())];
  const devices = flags.serial === undefined ? await allDevices() : [await pickDevice(session)];
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
  return { json: { ok, machine, devices: probed }, text: lines.join('\n'), exit: ok ? 0 : 1 };
};

const toolProbes = (): Promise<Probe[]> =>
  Promise.all(
    Object.values(tools).map(async ({ name, apt, find }): Promise<Probe> => {
      const path = await find();
      if (path !== undefined) return { name, ok: true, evidence: path };
      return {
        name,
        ok: false,
        evidence: 'not found, or too old',
        cure: `Run sovereign doctor --fix, or apt-get install ${apt}`,
      };
    }),
  );

const spaceProbes = (): Promise<Probe[]> =>
  Promise.all([
    spaceProbe('space for caches', cacheDir(), WANTED.cache),
    spaceProbe('space for the local device', dataDir(), WANTED.data),
    spaceProbe('space for settings', configDir(), WANTED.config),
  ]);

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
