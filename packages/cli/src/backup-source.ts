import type { Source } from '@sovereign/backup';
import { SovereignError } from '@sovereign/report';
import { deviceLibrary } from './device.ts';
import type { Session } from './session.ts';

/** Loaded when backups are meant: everything else stays quick without it. */
export const backupLibrary = () => import('@sovereign/backup');

/** The value of a command's own flag. */
export function said({ own }: Session, name: string): string | undefined {
  const value = own[name];
  return typeof value === 'string' ? value : undefined;
}

/** Whose backups `--of` and `--repository` mean. */
export async function sourceOf(session: Session): Promise<Source> {
  const of = said(session, 'of');
  const repository = said(session, 'repository');
  return { repository, ...(of === undefined ? {} : { of: await deviceIdOf(of, repository !== undefined) }) };
}

/**
 * The id of a device that need not be attached.
 * @param any an id that this workstation does not know is one, too: the repository has the backups
 */
async function deviceIdOf(word: string, any: boolean): Promise<string> {
  const { knownDevices, localDevice } = await deviceLibrary();
  const known = await knownDevices();
  const local = word === 'local' ? (await localDevice().inventory()).id : undefined;
  const fitting = known.filter(({ id, serials }) => id.startsWith(word) || serials.includes(word));
  const id = local ?? (fitting.length === 1 ? fitting[0]?.id : undefined) ?? (any ? word : undefined);
  if (id !== undefined) return id;
  throw new SovereignError({
    code: 'no-such-device',
    what: 'this workstation knows no such device',
    on: word,
    hint: `Known: ${known.map((device) => [device.id, ...device.serials].join(' ')).join(', ') || 'none'}. Of another one, say the repository too: --repository`,
    exit: 4,
  });
}

/**
 * Somebody said where backups of this device go.
 * @throws SovereignError `no-repository-chosen`
 */
export async function requireTarget(deviceId: string, word: string, device: string): Promise<void> {
  const { chosenRepository } = await backupLibrary();
  if ((await chosenRepository(deviceId)) !== undefined) return;
  throw new SovereignError({
    code: 'no-repository-chosen',
    what: 'nobody said where backups of this device go',
    on: device,
    hint: `Make the first one by hand: sovereign backup ${word} --to REPOSITORY`,
    exit: 2,
  });
}
