import { writeFile } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { note, SovereignError, step } from '@sovereign/report';
import { cacheDir, withScratch } from '@sovereign/store';
import { resticProgram } from './program.ts';
import { hasRepository, initRepository, type Repository } from './restic.ts';
import { chooseRepository, chosenRepository, passwordFile, repositoryFile } from './settings.ts';

/** What a caller may have another way in tests. */
export interface Tools {
  /** Path of restic. */
  restic?: string;
}

/** The address without a user's password. Pure. */
export const withoutPassword = (address: string): string => address.replace(/(:\/\/[^/:@]+):[^@/]*@/, '$1@');

/** What restic takes; a folder becomes an absolute path, since timers run elsewhere. Pure but for the present folder. */
export const repositoryAddress = (word: string): string =>
  isAbsolute(word) || /^(sftp|rest|s3|b2|azure|gs|swift|rclone|local):/.test(word) ? word : resolve(word);

/**
 * The repository of a device.
 * @throws SovereignError `no-repository-chosen`, `no-repository`, `wrong-backup-key`
 */
export async function openRepository(deviceId: string, tools: Tools = {}): Promise<Repository> {
  const address = await chosenRepository(deviceId);
  if (address === undefined) {
    throw new SovereignError({
      code: 'no-repository-chosen',
      what: 'nobody said where backups of this device go',
      on: deviceId,
      hint: 'Say it once: sovereign backup SERVICE --to FOLDER, or sftp:, s3:, rest: as restic spells them',
      exit: 2,
    });
  }
  return repositoryAt(address, repositoryFile(deviceId), tools);
}

/** Works with a repository that is no device's own. */
export const withRepository = <T>(
  word: string,
  tools: Tools,
  work: (repository: Repository) => Promise<T>,
): Promise<T> =>
  withScratch(cacheDir('backup', 'repository'), async (folder) => {
    const file = join(folder, 'address');
    const address = repositoryAddress(word);
    await writeFile(file, `${address}\n`, { mode: 0o600 });
    return work(await repositoryAt(address, file, tools));
  });

/** Chooses where the backups of a device go, from now on; makes the repository where there is none. */
export async function chooseTarget(deviceId: string, word: string, tools: Tools = {}): Promise<void> {
  const address = repositoryAddress(word);
  await withRepository(address, tools, async (repository) => {
    if (await hasRepository(repository)) return;
    await step(`make a backup repository at ${repository.name}`, () => initRepository(repository));
    note(`only the password in ${repository.passwordFile} opens it: keep a copy of that file elsewhere`);
  });
  await chooseRepository(deviceId, address);
}

async function repositoryAt(address: string, file: string, tools: Tools): Promise<Repository> {
  return {
    program: tools.restic ?? (await resticProgram()),
    name: withoutPassword(address),
    repositoryFile: file,
    passwordFile: await passwordFile(),
    cacheFolder: cacheDir('restic'),
  };
}
