import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { debian, lockDigest, readLock } from '@sovereign/base';
import { contentKeyed } from '@sovereign/store';
import { execa } from 'execa';
import { expect } from 'vitest';
import { hostLock, withOwnLocks } from '../src/locks.ts';

/** How somebody's git asks for what is theirs. */
export interface GitUser {
  /** A folder of the test. */
  scratch: string;
  password: string;
  /** Path of an SSH key. */
  key: string;
  /** Settings of this user; none where not given. */
  config?: string;
  /** A folder of further programs. */
  programs?: string;
}

/** Runs a real git with nothing of this machine's settings; gives what it prints. */
export async function git(user: GitUser, cwd: string, ...args: string[]): Promise<string> {
  const { scratch, password, key, config = '/dev/null', programs } = user;
  const askpass = join(scratch, 'askpass');
  writeFileSync(askpass, '#!/bin/sh\necho "$ASKED"\n', { mode: 0o755 });
  const identity = ['-c', 'user.name=Owner', '-c', 'user.email=owner@example.org'];
  const { stdout } = await execa('git', [...identity, ...args], {
    cwd,
    env: {
      ...(programs === undefined ? {} : { PATH: `${programs}${delimiter}${process.env.PATH ?? ''}` }),
      GIT_CONFIG_GLOBAL: config,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_ASKPASS: askpass,
      GIT_SSH_COMMAND:
        `ssh -F none -i '${key}' -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new ` +
        `-o UserKnownHostsFile='${join(scratch, 'known-hosts')}'`,
      ASKED: password,
    },
  });
  return stdout;
}

/** A folder with git-lfs, of a locked version: not every machine that tests has one. */
async function gitLfs(): Promise<string> {
  const lock = await readLock(hostLock);
  const make = async (folder: string) => {
    const { tar } = await debian.unpack(lock, hostLock);
    await execa('tar', ['--extract', '--no-same-owner', '--directory', folder, './usr/bin/git-lfs'], {
      input: tar,
    });
  };
  const { folder } = await contentKeyed('test-mirror-host', lockDigest(lock), make, 1);
  return join(folder, 'usr/bin');
}

/** What LFS is for: too much for a repository. */
const LARGE = 5_000_000;

/** A real git-lfs pushes and pulls large files of an empty repository, by HTTP and by a token that SSH gives. */
export async function expectLfs(owner: GitUser, http: string, ssh: string): Promise<void> {
  const user = {
    ...owner,
    programs: await withOwnLocks(gitLfs),
    config: join(owner.scratch, 'lfs.gitconfig'),
  };
  const work = join(owner.scratch, 'lfs');
  const [here, there] = [join(work, 'here'), join(work, 'there')];
  const files = { one: randomBytes(LARGE), two: randomBytes(LARGE) };
  mkdirSync(work);
  const commit = async (folder: string, name: keyof typeof files) => {
    writeFileSync(join(folder, `${name}.bin`), files[name]);
    await git(user, folder, 'add', '.');
    await git(user, folder, 'commit', '--quiet', '--message', name);
    // The repository has a few words in its place.
    expect(Number(await git(user, folder, 'cat-file', '-s', `HEAD:${name}.bin`))).toBeLessThan(200);
  };
  await git(user, work, 'lfs', 'install', '--skip-repo');
  await git(user, work, '-c', 'init.defaultBranch=main', 'clone', '--quiet', http, here);
  await git(user, here, 'lfs', 'track', '*.bin');
  await commit(here, 'one');
  await git(user, here, 'push', '--quiet', 'origin', 'main');
  await git(user, work, 'clone', '--quiet', ssh, there);
  expect(readFileSync(join(there, 'one.bin')).equals(files.one)).toBe(true);
  await commit(there, 'two');
  await git(user, there, 'push', '--quiet');
  await git(user, here, 'pull', '--quiet', 'origin', 'main');
  expect(readFileSync(join(here, 'two.bin')).equals(files.two)).toBe(true);
}
