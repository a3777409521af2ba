import type { Keep, Schedule, Snapshot } from '@sovereign/backup';
import type { Bundle } from '@sovereign/device';
import { SovereignError } from '@sovereign/report';
import { backupLibrary, requireTarget, said, sourceOf } from '../backup-source.ts';
import { announce, deviceLibrary, theService } from '../device.ts';
import { wordOf } from '../services.ts';
import type { Run, Session } from '../session.ts';
import { planned } from './lifecycle.ts';

export const backup: Run = async (session) => {
  const service = theService(session);
  const word = wordOf(service);
  const to = said(session, 'to');
  const keep = keepOf(session);
  const device = await session.devices.pick();
  if (session.flags.dryRun === true) {
    return planned(`back ${word} on ${device.id} up${to === undefined ? '' : ` to ${to}`}`);
  }
  announce(device);
  const { backupService, megabytes } = await backupLibrary();
  const done = await backupService(device, service.definition, { to, keep, signal: session.signal });
  const text = `${word} is backed up to ${done.repository}: ${done.id.slice(0, 8)}, ${megabytes(done.bytes)}, ${megabytes(done.added)} of it new${done.node === null ? '' : `; its node ${done.node} is kept beside it`}`;
  return { json: { device: device.id, service: service.definition.name, ...done, snapshot: done.id }, text };
};

export const listBackup: Run = async (session) => {
  const service = theService(session);
  const device = await session.devices.pick();
  const { listBackups } = await backupLibrary();
  const backups = await listBackups(device, service.definition, await sourceOf(session));
  const text =
    backups.length === 0 ? `there is no backup of ${wordOf(service)}` : backups.map(describe).join('\n');
  return { json: { device: device.id, service: service.definition.name, backups }, text };
};

const describe = ({ id, time, bytes, about }: Snapshot): string =>
  [
    id.slice(0, 8),
    time,
    ...(bytes === undefined ? [] : [`${(bytes / 1_000_000).toFixed(1)} MB`]),
    ...(about.release === undefined ? [] : [`release ${about.release.slice(0, 12)}`]),
  ].join('  ');

export const verify: Run = async (session) => {
  const service = theService(session);
  const word = wordOf(service);
  const snapshot = said(session, 'snapshot');
  const device = await session.devices.pick();
  if (session.flags.dryRun === true) {
    return planned(
      `restore backup ${snapshot ?? 'the newest'} of ${word} into a machine that is thrown away`,
    );
  }
  const bundle = await built(session);
  const { verifyBackup } = await backupLibrary();
  const source = await sourceOf(session);
  const found = await verifyBackup(device, bundle, { ...source, snapshot, signal: session.signal });
  const text = `backup ${found.snapshot.slice(0, 8)} of ${found.time} can be restored: ${found.tables} tables with ${found.rows} rows, as they were counted`;
  return { json: { device: device.id, service: service.definition.name, ...found }, text };
};

/** The machine that is thrown away is made of what was built in this checkout. */
async function built(session: Session): Promise<Bundle> {
  const service = theService(session);
  const { readBundle } = await deviceLibrary();
  try {
    return await readBundle(session.root, service);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new SovereignError({
      code: 'not-built',
      what: 'the image that the backup would be restored into is not built in this checkout',
      on: wordOf(service),
      hint: `Run sovereign build ${wordOf(service)}`,
      cause,
    });
  }
}

export const schedule: Run = async (session) => {
  const service = theService(session);
  const word = wordOf(service);
  const device = await session.devices.pick();
  const when = scheduleOf(session);
  const text =
    when === undefined
      ? `${word} on ${device.id} is not backed up by a timer any more`
      : `${word} on ${device.id} is backed up ${when.every === 'daily' ? 'every day' : 'every Sunday'} at ${when.at}, while this workstation’s user is logged in or lingers`;
  if (session.flags.dryRun === true) return planned(text);
  const { deviceIdOf, remindOfBackup, scheduleBackups, unscheduleBackups } = await backupLibrary();
  const { name } = service.definition;
  const deviceId = await deviceIdOf(device, name);
  const scheduled = { device: { id: device.id, deviceId }, service: name, workspace: session.root };
  if (when === undefined) await unscheduleBackups(scheduled);
  else {
    await requireTarget(deviceId, word, device.id);
    await scheduleBackups(scheduled, when);
    await remindOfBackup(device, deviceId, name);
  }
  return { json: { device: device.id, service: name, schedule: when ?? null }, text };
};

/** What `--daily`, `--weekly` and `--off` mean; undefined: no more. */
function scheduleOf(session: Session): Pick<Schedule, 'every' | 'at'> | undefined {
  const ways = (['daily', 'weekly'] as const).flatMap((every) => {
    const at = said(session, every);
    return at === undefined ? [] : [{ every, at }];
  });
  const [way] = ways;
  if (ways.length + (session.own.off === true ? 1 : 0) !== 1) {
    throw wrong('say one of these', '--daily HH:MM, --weekly HH:MM, --off');
  }
  if (way !== undefined && !/^([01]\d|2[0-3]):[0-5]\d$/.test(way.at)) {
    throw wrong('this is no time of a day', way.at, 'HH:MM, as 03:00');
  }
  return way;
}

/** What `--keep-…` say, in numbers; undefined where they say nothing. */
function keepOf(session: Session): Partial<Keep> | undefined {
  const entries = (['daily', 'weekly', 'monthly'] as const).flatMap((span) => {
    const text = said(session, `keep${span.charAt(0).toUpperCase()}${span.slice(1)}`);
    if (text === undefined) return [];
    if (!/^\d{1,4}$/.test(text)) throw wrong('this is no number of backups', text, 'a whole number');
    return [[span, Number(text)] as const];
  });
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

const wrong = (what: string, on: string, wanted?: string): SovereignError =>
  new SovereignError({
    code: 'usage',
    what,
    on,
    ...(wanted === undefined ? {} : { hint: `Wanted: ${wanted}` }),
    exit: 2,
  });
