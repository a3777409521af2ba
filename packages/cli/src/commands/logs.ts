import { theService } from '../device.ts';
import { SovereignError } from '@sovereign/report';
import type { Run } from '../session.ts';

export const logs: Run = async (session) => {
  const { own, flags, streams, signal } = session;
  const follow = own.follow === true;
  if (follow && flags.json) {
    throw new SovereignError({
      code: 'usage',
      what: 'one JSON document cannot hold a log that goes on',
      on: '--follow --json',
      hint: 'Leave one of them out',
      exit: 2,
    });
  }
  const service = theService(session);
  const device = await session.devices.pick();
  const lines: string[] = [];
  for await (const line of device.logs(service.definition, { boot: own.boot === true, follow, signal })) {
    if (flags.json) lines.push(line);
    else streams.out.write(`${line}\n`);
  }
  return { json: { device: device.id, service: service.definition.name, lines } };
};
