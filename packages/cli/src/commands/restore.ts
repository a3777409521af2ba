import { SovereignError, step } from '@sovereign/report';
import { confirm, confirmTyped } from '../ask.ts';
import { backupLibrary, said, sourceOf } from '../backup-source.ts';
import { announce, theService } from '../device.ts';
import { wordOf } from '../services.ts';
import type { Run, Session } from '../session.ts';

export const restore: Run = async (session) => {
  if (session.own.undo === true) return undo(session);
  if (session.own.discard === true) return discard(session);
  const service = theService(session);
  const word = wordOf(service);
  const { definition } = service;
  const wanted = said(session, 'snapshot');
  const device = await session.devices.pick();
  const source = await sourceOf(session);
  const { listBackups, restoreService } = await backupLibrary();
  // The one that is shown is the one that is restored, also when a timer makes another meanwhile.
  const newest = wanted === undefined ? (await listBackups(device, definition, source)).at(-1) : undefined;
  const which =
    newest === undefined ? `backup ${wanted ?? 'none'}` : `backup ${newest.id.slice(0, 8)} of ${newest.time}`;
  const what = `restore ${word} on ${device.id} from ${which}`;
  if (session.flags.dryRun === true) return { json: { plan: [what] }, text: what };
  announce(device);
  await confirmTyped(session, {
    text: `${word} on ${device.id} stops, and its data is replaced by ${which}.`,
    word,
    command: 'restore',
    refused: 'replacing data was not confirmed',
  });
  const snapshot = wanted ?? newest?.id;
  const done = await restoreService(device, definition, { ...source, snapshot, signal: session.signal });
  const text = [
    `${word} is restored from backup ${done.snapshot.slice(0, 8)} of ${done.time}: ${done.tables} tables with ${done.rows} rows, as they were counted`,
    `The data from before is kept: sovereign restore ${word} --undo goes back to it`,
  ].join('\n');
  return { json: { device: device.id, service: definition.name, ...done }, text };
};

const undo: Run = async (session) => {
  const service = theService(session);
  const word = wordOf(service);
  alone(session, 'undo');
  const device = await session.devices.pick();
  const what = `put the data of ${word} on ${device.id} back that was kept`;
  if (session.flags.dryRun === true) return { json: { plan: [what] }, text: what };
  announce(device);
  await confirm(session, what, 'restore');
  await step(what, () => device.undoRestore(service.definition));
  await device.waitHealthy(service.definition, session.flags.timeout ?? service.definition.health.deadline);
  const text = `${word} has the data from before; a second --undo goes forth again`;
  return { json: { device: device.id, service: service.definition.name, undone: true }, text };
};

const discard: Run = async (session) => {
  const service = theService(session);
  const word = wordOf(service);
  alone(session, 'discard');
  const device = await session.devices.pick();
  const what = `give up the data of ${word} on ${device.id} that was kept`;
  if (session.flags.dryRun === true) return { json: { plan: [what] }, text: what };
  announce(device);
  await confirmTyped(session, {
    text: `The data that ${word} on ${device.id} had before is removed; there is no --undo any more.`,
    word,
    command: 'restore',
    refused: 'removing data was not confirmed',
  });
  const discarded = await device.discardKept(service.definition);
  const text = discarded ? `the data from before is given up` : `no data from before was kept`;
  return { json: { device: device.id, service: service.definition.name, discarded }, text };
};

/** What is about the data that was kept takes no backup. */
function alone({ own }: Session, flag: 'undo' | 'discard'): void {
  const others = ['snapshot', 'of', 'repository', 'undo', 'discard'].filter((other) => other !== flag);
  if (others.every((other) => own[other] === undefined)) return;
  throw new SovereignError({
    code: 'usage',
    what: `--${flag} is about the data that was kept, and goes with no other option of restore`,
    on: `--${flag}`,
    exit: 2,
  });
}
