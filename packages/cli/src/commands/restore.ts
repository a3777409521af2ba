import type { TailnetNode } from '@sovereign/backup';
import type { Device, TailnetStatus } from '@sovereign/device';
import { SovereignError, step } from '@sovereign/report';
import { confirm, confirmTyped } from '../ask.ts';
import { backupLibrary, said, sourceOf } from '../backup-source.ts';
import { announce, theService } from '../device.ts';
import { wordOf } from '../services.ts';
import type { Run, Session } from '../session.ts';
import { settled } from '../tailnet-join.ts';
import { describeTailnet } from '../tailnet-text.ts';

/** Seconds in which the node that came along is waited for; the data is restored in any case. */
const NODE_WAIT = 60;

export const restore: Run = async (session) => {
  if (session.own.undo === true) return undo(session);
  if (session.own.discard === true) return discard(session);
  const service = theService(session);
  const word = wordOf(service);
  const { definition } = service;
  const wanted = said(session, 'snapshot');
  const device = await session.devices.pick();
  const source = await sourceOf(session);
  const { listBackups, nodeToRestore, restoreService } = await backupLibrary();
  // The one that is shown is the one that is restored, also when a timer makes another meanwhile.
  const newest = wanted === undefined ? (await listBackups(device, definition, source)).at(-1) : undefined;
  const which =
    newest === undefined ? `backup ${wanted ?? 'none'}` : `backup ${newest.id.slice(0, 8)} of ${newest.time}`;
  const snapshot = wanted ?? newest?.id;
  const { signal } = session;
  const node =
    session.own.withTailnet === true
      ? await nodeToRestore(device, definition, await session.devices.used(), { ...source, snapshot, signal })
      : undefined;
  const along = node === undefined ? '' : `, with its node ${node.name}`;
  const what = `restore ${word} on ${device.id} from ${which}${along}`;
  if (session.flags.dryRun === true) return { json: { plan: [what] }, text: what };
  announce(device);
  await confirmTyped(session, {
    text: `${word} on ${device.id} stops, and its data is replaced by ${which}.${node === undefined ? '' : ` ${warning(node)}`}`,
    word,
    command: 'restore',
    refused: 'replacing data was not confirmed',
  });
  const done = await restoreService(device, definition, { ...source, snapshot, node, signal });
  const tailnet = node === undefined ? undefined : await joined(session, device);
  const text = [
    `${word} is restored from backup ${done.snapshot.slice(0, 8)} of ${done.time}: ${done.tables} tables with ${done.rows} rows, as they were counted`,
    ...(tailnet === undefined ? [] : [`Its node in the tailnet: ${describeTailnet(tailnet)}`]),
    `The data from before is kept: sovereign restore ${word} --undo goes back to it`,
  ].join('\n');
  const about = tailnet === undefined ? {} : { tailnet };
  return { json: { device: device.id, service: definition.name, ...done, ...about }, text };
};

/** What the owner is asked to know before a node comes along. */
const warning = ({ from, name, device }: TailnetNode): string =>
  from === 'device'
    ? `Its node ${name} comes along.`
    : `The node ${name} comes along, as it was kept of device ${device.slice(0, 8)}: it must run nowhere else from then on, since two machines with one identity fight.`;

/** The state of the node that came along, which begins once the service is open. */
async function joined(session: Session, device: Device): Promise<TailnetStatus> {
  const service = theService(session);
  const tailnet = await step(`wait for ${wordOf(service)} in the tailnet`, async (handle) => {
    const found = await settled(session, device, service, NODE_WAIT);
    handle.detail(found.state);
    return found;
  });
  await device.tailnet.settle([service.definition]);
  return tailnet;
}

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
  const others = ['snapshot', 'of', 'repository', 'withTailnet', 'undo', 'discard'].filter(
    (other) => other !== flag,
  );
  if (others.every((other) => own[other] === undefined)) return;
  throw new SovereignError({
    code: 'usage',
    what: `--${flag} is about the data that was kept, and goes with no other option of restore`,
    on: `--${flag}`,
    exit: 2,
  });
}
