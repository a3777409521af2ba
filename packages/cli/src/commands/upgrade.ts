import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { writeLock } from '@sovereign/base';
import type { Migrated } from '@sovereign/backup';
import type { Device } from '@sovereign/device';
import { note, step, toSovereignError } from '@sovereign/report';
import {
  differentData,
  needsOf,
  releaseId,
  settingValues,
  type FoundService,
  type Release,
  type ServiceDefinition,
} from '@sovereign/service';
import { writeFileAtomic } from '@sovereign/store';
import { canAsk, confirm } from '../ask.ts';
import { backupLibrary, requireTarget } from '../backup-source.ts';
import { announce, deviceLibrary, theService } from '../device.ts';
import { withNeeded } from '../needed.ts';
import { describeNewer, lookForNewer, type Newer } from '../newer.ts';
import { runNx } from '../nx.ts';
import { servicesOnBase } from '../on-base.ts';
import { wordOf } from '../services.ts';
import type { Run, Session } from '../session.ts';
import { nxRun, plan } from './build.ts';
import { startAndWait, stopOne } from './lifecycle.ts';

/**
 * A trial that fails takes its own deadline, a stop, and the start of the release before: so many deadlines of a start
 * until there is a verdict.
 */
const DEADLINES = 4;

export const upgrade: Run = async (session) => {
  const service = theService(session);
  const { definition } = service;
  const word = wordOf(service);
  await servicesOnBase(session, [service]);
  const device = await session.devices.pick();
  const [before] = await device.releases(definition);
  const moves = before === undefined ? undefined : whatMoves(before, definition);
  const run =
    moves === undefined
      ? await nxRun(session, [service], ['deploy'], { device: device.id })
      : await nxRun(session, [service], ['build']);
  if (session.flags.dryRun === true) {
    const lock = { ...run, targets: ['lock'], options: {} };
    return plan(session.flags.locked === true ? [run] : [lock, run], [
      moves === undefined
        ? `start ${word} on ${device.id} on trial, closed; keep it where it is healthy, else go back`
        : `move the data of ${word} on ${device.id} ${moves}, through a backup; keep the data from before with its release`,
    ]);
  }
  announce(device);
  if (before === undefined) throw (await deviceLibrary()).notDeployed(word, device.id);
  if (moves !== undefined) {
    const { deviceIdOf } = await backupLibrary();
    await requireTarget(await deviceIdOf(device, definition.name), word, device.id);
    note(`the data of ${word} moves ${moves}, through a backup: it serves nobody until that is done`);
  }
  const newer = session.flags.locked === true ? undefined : (await lookForNewer(session, [service]))[0];
  if (newer !== undefined) {
    for (const line of [...describeNewer(newer), ...(await whatItMeans(device, newer))]) note(line);
  }
  if ((moves !== undefined || (newer?.changes.length ?? 0) > 0) && canAsk(session)) {
    await confirm(session, `upgrade ${word} on ${device.id}`, 'upgrade');
  }
  const [was] = await device.status([definition]);
  const putBack = await takeLock(newer);
  let moved: Migrated | undefined;
  try {
    await runNx(run);
    for (const needed of await withNeeded(session, device, [service])) {
      if (needed.definition.name !== definition.name) await startAndWait(session, device, needed);
    }
    if (moves === undefined) {
      const built = await session.devices.built(service);
      await startAndWait(withTimeForTrial(session, service), device, service, built);
    } else {
      const { readBundle } = await deviceLibrary();
      const { migrateService } = await backupLibrary();
      moved = await migrateService(device, await readBundle(session.root, service), {
        signal: session.signal,
      });
    }
  } catch (thrown) {
    await putBack();
    const back = toSovereignError(thrown).code === 'rolled-back';
    note(
      back
        ? `${word} runs release ${releaseId(before).slice(0, 12)} again, slot and data are as they were`
        : `the upgrade of ${word} was not finished`,
    );
    throw thrown;
  }
  const [after = before] = await device.releases(definition);
  const [from, to] = [releaseId(before), releaseId(after)];
  if (was?.state === 'stopped') await stopOne(session, device, service);
  const changes = newer?.changes ?? [];
  const json = {
    ...{ device: device.id, service: definition.name, from, to, changed: from !== to, changes },
    ...(moved === undefined
      ? {}
      : { moved: { snapshot: moved.snapshot, tables: moved.tables, rows: moved.rows } }),
  };
  if (moved !== undefined) {
    const text = [
      `${word} on ${device.id} has moved ${moves ?? ''}: ${moved.tables} tables with ${moved.rows} rows, as they were counted; release ${from.slice(0, 12)} -> ${to.slice(0, 12)}`,
      ...(was?.state === 'stopped' ? [STOPPED_AGAIN] : []),
      `The data from before is kept with its release: ./sovereign restore ${word} --undo goes back, --discard gives it up`,
    ].join('\n');
    return { json, text };
  }
  if (from === to)
    return { json, text: `${word} on ${device.id} is up to date: release ${from.slice(0, 12)}` };
  const security = changes.filter(({ fixes }) => fixes.length > 0).length;
  const text = [
    `${word} on ${device.id} passed its trial: release ${from.slice(0, 12)} -> ${to.slice(0, 12)}, ${changes.length} packages changed, ${security} with security fixes`,
    ...(was?.state === 'stopped' ? [STOPPED_AGAIN] : []),
    `./sovereign rollback ${word} goes back to the release before, as long as both have the same data`,
  ].join('\n');
  return { json, text };
};

const STOPPED_AGAIN = 'It was stopped before, and is stopped again';

/** From what to what the data of this release has to move; undefined where it stays as it is. */
function whatMoves({ data: now }: Release, { data: next }: ServiceDefinition): string | undefined {
  const differs = differentData(now, next);
  if (differs === undefined) return undefined;
  return differs === 'collation'
    ? `from ${now.collation} to ${next.collation}`
    : `from ${now.kind} ${now.major} to ${next.kind} ${next.major}`;
}

const withTimeForTrial = (session: Session, { definition }: FoundService): Session => ({
  ...session,
  flags: { ...session.flags, timeout: session.flags.timeout ?? definition.health.deadline * DEADLINES },
});

/** What a person should know of it beside the versions. */
async function whatItMeans(device: Device, { service, lock, changes }: Newer): Promise<string[]> {
  const { definition } = service;
  const program = definition.bases[lock.base]?.packages.at(-1);
  const change = changes.find(({ name }) => name === program);
  if (definition.data.changes !== 'version' || change === undefined) return [];
  const values = settingValues(definition, await device.settings(definition));
  const elsewhere = needsOf(definition, values).filter(({ database }) => database !== undefined);
  return [
    `${change.name} ${change.to ?? ''} may change the data when it starts: it is tried on a copy of the data disk`,
    ...elsewhere.map(
      ({ service: other }) =>
        `its database on ${other} is not copied: make a backup first (./sovereign backup ${other}), a trial that fails does not bring it back`,
    ),
  ];
}

/** Puts the newer lock in force; what it gives takes that back. */
async function takeLock(newer: Newer | undefined): Promise<() => Promise<void>> {
  if (newer === undefined || newer.changes.length === 0) return () => Promise.resolve();
  const { path, lock } = newer;
  const before = existsSync(path) ? await readFile(path) : undefined;
  await step('take the newer packages into the lock', () => writeLock(path, lock));
  return async () => {
    if (before === undefined) await rm(path, { force: true });
    else await writeFileAtomic(path, before);
    note('the lock is as it was');
  };
}
