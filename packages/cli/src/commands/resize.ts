import { describeSize, parseSize } from '@sovereign/device';
import { announce, theService } from '../device.ts';
import { wordOf } from '../services.ts';
import type { Run } from '../session.ts';
import { planned, waitHealthy } from './lifecycle.ts';

export const resize: Run = async (session) => {
  const service = theService(session);
  const size = parseSize(session.words[0] ?? '');
  const device = await session.devices.pick();
  const word = wordOf(service);
  if (session.flags.dryRun === true) {
    return planned(`grow the data disk of ${word} on ${device.id} to ${describeSize(size)}`);
  }
  announce(device);
  const { from, to, started } = await device.resize(service.definition, size);
  if (started) await waitHealthy(session, device, service);
  const text =
    from === to && !started
      ? `the data disk of ${word} has ${describeSize(to)} already`
      : `the data disk of ${word} has ${describeSize(to)}`;
  return { json: { device: device.id, service: service.definition.name, from, to }, text };
};
