import { expect, test, vi } from 'vitest';
import { repositoryAddress, withoutPassword } from './repository.ts';
import { resticArgs, resticEnvironment } from './restic.ts';

test.each([
  ['rest:https://me:secret@host:8000/repo', 'rest:https://me@host:8000/repo'],
  ['sftp:me@host:/srv/repo', 'sftp:me@host:/srv/repo'],
  ['s3:https://host/bucket', 's3:https://host/bucket'],
  ['/srv/repo', '/srv/repo'],
])('%s is shown without its password', (address, shown) => {
  expect(withoutPassword(address)).toBe(shown);
});

test('a folder is meant from where the command was given, an address as it is', () => {
  vi.spyOn(process, 'cwd').mockReturnValue('/home/me');
  expect(repositoryAddress('backups')).toBe('/home/me/backups');
  expect(repositoryAddress('s3:host/bucket')).toBe('s3:host/bucket');
  vi.restoreAllMocks();
});

test('neither address nor password reaches an argument or a variable', () => {
  const repository = {
    program: 'restic',
    name: 'shown',
    repositoryFile: '/c/backup-repository',
    passwordFile: '/c/password',
    cacheFolder: '/cache',
  };
  expect(resticArgs(repository, 'check', [])).toEqual([
    ...['--repository-file', '/c/backup-repository'],
    ...['--password-file', '/c/password'],
    ...['--cache-dir', '/cache'],
    ...['--json', '--quiet', 'check'],
  ]);
  const env = {
    RESTIC_PASSWORD: 'x',
    RESTIC_PASSWORD_COMMAND: 'x',
    RESTIC_REPOSITORY: 'x',
    AWS_ACCESS_KEY_ID: 'k',
  };
  expect(resticEnvironment(env)).toEqual({ AWS_ACCESS_KEY_ID: 'k' });
});
