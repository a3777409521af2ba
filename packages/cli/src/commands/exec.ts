import { SovereignError } from '@sovereign/report';
import { deviceLibrary, theService } from '../device.ts';
import type { Run } from '../session.ts';

export const exec: Run = async (session) => {
  const { words, flags, streams, signal } = session;
  const service = theService(session);
  const device = await session.devices.pick();
  const { execInGuest } = await deviceLibrary();
  const target = await device.ssh(service.definition);
  const { status, stdout, stderr } = await execInGuest(target, words, {
    tty: false,
    stdin: streams.in.isTTY ? 'ignore' : 'inherit',
    output: flags.json ? 'collect' : 'inherit',
    signal,
  });
  return { json: { status, stdout, stderr }, exit: status };
};

export const shell: Run = async (session) => {
  if (session.flags.json) {
    throw new SovereignError({
      code: 'usage',
      what: 'a shell is for people and has no JSON output',
      on: '--json',
      hint: 'Use sovereign exec SERVICE --json -- COMMAND…',
      exit: 2,
    });
  }
  const service = theService(session);
  const device = await session.devices.pick();
  const { execInGuest } = await deviceLibrary();
  const target = await device.ssh(service.definition);
  const { signal, streams } = session;
  const { status } = await execInGuest(target, [], { tty: streams.in.isTTY, stdin: 'inherit', signal });
  return { json: { status }, exit: status };
};
