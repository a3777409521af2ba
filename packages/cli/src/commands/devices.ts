import { probeDevice, probeLine } from '../probes.ts';
import type { Run } from '../session.ts';

export const devices: Run = async (session) => {
  const found = await Promise.all(
    (await session.devices.all()).map(async (device) => ({
      id: device.id,
      kind: device.kind,
      probes: await probeDevice(device),
    })),
  );
  const lines = found.flatMap(({ id, kind, probes }) => [
    `${id} (${kind === 'local' ? 'this machine' : 'phone'})`,
    ...probes.map((probe) => `  ${probeLine(probe)}`),
  ]);
  return { json: { devices: found }, text: lines.join('\n') };
};
