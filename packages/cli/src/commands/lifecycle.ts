import type { Device } from '@sovereign/device';
import { step } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import { announce, theService } from '../device.ts';
import { withNeeded } from '../needed.ts';
import { wordOf } from '../services.ts';
import type { Result, Run, Session } from '../session.ts';
import { statusDocument } from '../status-document.ts';

/** Deadline of a clean stop, in seconds, where --timeout names none. */
const STOP = 60;

export const start: Run = (session) =>
  onDevice(
    session,
    'start',
    async (device, service) => {
      await startAndWait(session, device, service);
      return 'is healthy';
    },
    withNeeded,
  );

export const stop: Run = (session) =>
  onDevice(
    session,
    'stop',
    async (device, service) => {
      await stopOne(session, device, service);
      return 'is stopped; its data stays';
    },
    // What others may need is listed before them, and is there until they have stopped.
    (_session, _device, asked) => Promise.resolve(asked.toReversed()),
  );

export const restart: Run = (session) =>
  onDevice(session, 'restart', async (device, service) => {
    await stopOne(session, device, service);
    await startAndWait(session, device, service);
    return 'is healthy';
  });

export const rollback: Run = async (session) => {
  const service = theService(session);
  const device = await session.devices.pick();
  const word = wordOf(service);
  if (session.flags.dryRun === true) return planned(`rollback ${word} on ${device.id}`);
  announce(device);
  const { from, to } = await step(`roll ${word} back`, () => device.rollback(service.definition));
  // It was started again where it ran before; a release that does not come up is no release to be on.
  const [state] = await device.status([service.definition]);
  if (state?.state === 'starting' || state?.state === 'running') await waitHealthy(session, device, service);
  const text = `${word} went back from release ${from.slice(0, 12)} to ${to.slice(0, 12)}`;
  return { json: { device: device.id, service: service.definition.name, from, to }, text };
};

/** @param release of a service that was just deployed: the one that has to start */
export async function startAndWait(
  session: Session,
  device: Device,
  service: FoundService,
  release?: string,
): Promise<void> {
  const word = wordOf(service);
  await step(`start ${word}`, () => device.start(service.definition, { release }));
  await waitHealthy(session, device, service);
}

export function waitHealthy(
  { flags, signal }: Session,
  device: Device,
  { definition }: FoundService,
): Promise<void> {
  const seconds = flags.timeout ?? definition.health.deadline;
  return abortable(signal, device.waitHealthy(definition, seconds));
}

export async function stopOne({ flags }: Session, device: Device, service: FoundService): Promise<void> {
  await step(`stop ${wordOf(service)}`, () => device.stop(service.definition, flags.timeout ?? STOP));
}

async function onDevice(
  session: Session,
  verb: string,
  act: (device: Device, service: FoundService) => Promise<string>,
  widen: typeof withNeeded = (_, __, asked) => Promise.resolve([...asked]),
): Promise<Result> {
  const { flags, signal } = session;
  const device = await session.devices.pick();
  const chosen = await widen(session, device, session.chosen);
  if (flags.dryRun === true) {
    return planned(...chosen.map((service) => `${verb} ${wordOf(service)} on ${device.id}`));
  }
  announce(device);
  const lines: string[] = [];
  for (const service of chosen) {
    signal.throwIfAborted();
    lines.push(`${wordOf(service)} ${await act(device, service)}`);
  }
  return { json: await statusDocument([device], chosen), text: lines.join('\n') };
}

export const planned = (...lines: string[]): Result => ({ json: { plan: lines }, text: lines.join('\n') });

/** Stops waiting when the user does; what runs on the device goes on. */
function abortable<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
