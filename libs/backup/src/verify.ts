import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deviceConfigDir, localDevice, type Bundle, type Device } from '@sovereign/device';
import { step } from '@sovereign/report';
import { canonicalJson, dataDir, withLock } from '@sovereign/store';
import { deviceIdOf } from './create.ts';
import { chooseSnapshot, pour, withSource, type Restored, type SnapshotOptions } from './restore.ts';
import { checkRepository } from './restic.ts';

/** The id of the device that is thrown away: always the same, so that what a killed run left is known. */
const THROW_AWAY = '00000000-0000-4000-8000-000000000000';
/** Deadline of its clean stop, in seconds. */
const STOP = 10;

/**
 * Checks the repository, then restores the newest backup into a virtual machine of this workstation that is thrown
 * away: it is closed to clients, reaches nothing, is in no tailnet, and has secrets of its own.
 * @param bundle what was built, which has to be able to take the backup
 */
export async function verifyBackup(
  device: Device,
  bundle: Bundle,
  options: SnapshotOptions = {},
): Promise<Restored> {
  const { definition } = bundle;
  const deviceId = await deviceIdOf(device, definition.name);
  return withSource(deviceId, options, async (repository) => {
    const snapshot = await chooseSnapshot(repository, definition, options.of ?? deviceId, options.snapshot);
    await step(`check ${repository.name}`, () => checkRepository(repository, options.signal));
    return withThrowAway(bundle, (local) =>
      pour(local, definition, repository, snapshot, { keep: false, signal: options.signal }),
    );
  });
}

/** Runs some work with a local device of its own, of which nothing is left. */
async function withThrowAway<T>(bundle: Bundle, work: (device: Device) => Promise<T>): Promise<T> {
  const folder = dataDir('verify');
  return withLock(dataDir('verify.lock'), async () => {
    const device = localDevice(folder, { closed: true });
    await throwAway(device, folder, bundle);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeFile(join(folder, 'device.json'), canonicalJson({ schema: 1, id: THROW_AWAY }));
      await device.deploy(bundle);
      return await work(device);
    } finally {
      await step('remove the virtual machine that was for the check', () =>
        throwAway(device, folder, bundle),
      );
    }
  });
}

/** Also what a run that was killed left. */
async function throwAway(device: Device, folder: string, { definition }: Bundle): Promise<void> {
  if (existsSync(folder)) await device.stop(definition, STOP).catch(() => undefined);
  await rm(folder, { recursive: true, force: true });
  await rm(deviceConfigDir(THROW_AWAY), { recursive: true, force: true });
}
