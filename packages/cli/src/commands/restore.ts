import { SovereignError, step } from '@sovereign/report';
import { confirm, confirmTyped } from '../ask.ts';
import { backupLibrary, said, sourceOf } from '../backup-source.ts';
import { announce, theService } from '../device.ts';
import { wordOf } from '../services.ts';
import type { Run } from '../session.ts';

export const restore: Run = async (session) => {
  if (session.own.undo === true) return undo(session);
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
  if (['snapshot', 'of', 'repository'].some((flag) => session.own[flag] !== undefined)) {
    throw new SovereignError({
      code: 'usage',
      what: '--undo goes back to the data that was kept, and takes no backup',
      on: '--undo',
      exit: 2,
    });
  }
  const device = await session.devices.pick();
  const what = `put the data of ${word} on ${device.id} back that the last restore kept`;
  if (session.flags.dryRun === true) return { json: { plan: [what] }, text: what };
  announce(device);
  await confirm(session, what, 'restore');
  await step(what, () => device.undoRestore(service.definition));
  await device.waitHealthy(service.definition, session.flags.timeout ?? service.definition.health.deadline);
  const text = `${word} has the data from before the restore; a second --undo goes forth again`;
  return { json: { device: device.id, service: service.definition.name, undone: true }, text };
};
