import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { SshTarget } from './contract.ts';
import { execInGuest, remoteCommand, sshArgs } from './ssh.ts';

// Programs are run here, on a machine that may have other work.
vi.setConfig({ testTimeout: 60_000 });

const target: SshTarget = {
  host: '127.0.0.1',
  port: 12_202,
  user: 'root',
  identityFile: '/config/owner/id_ed25519',
  knownHostsFile: '/my config/known-hosts-sql',
};

test('the client reads no settings of the user’s and pins the host key', async () => {
  const args = sshArgs(target, remoteCommand(['psql', '-c', "select 'a b'"]), false);
  await expect(`${args.join('\n')}\n`).toMatchFileSnapshot('testdata/ssh.args');
});

describe('a command in the guest', () => {
  // A stand-in for the ssh client: it runs the command line here, as the guest's shell would.
  const standIn = (script: string): void => {
    const folder = mkdtempSync(join(tmpdir(), 'sovereign-ssh-'));
    writeFileSync(join(folder, 'ssh'), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, 'ssh'), 0o755);
    vi.stubEnv('PATH', `${folder}:${process.env.PATH ?? ''}`);
    onTestFinished(() => {
      vi.unstubAllEnvs();
      rmSync(folder, { recursive: true, force: true });
    });
  };
  beforeEach(() => standIn('for last; do :; done; exec sh -c "$last"'));

  test('gets its words as they are', async () => {
    const words = ['a b', "it's", '$HOME', '*', '', '"', '\\', 'é'];
    expect((await execInGuest(target, ['printf', '[%s]\n', ...words])).stdout).toBe(
      words.map((word) => `[${word}]\n`).join(''),
    );
  });

  test.for([0, 1, 3, 254, 255])('gives its own exit status, %i', async (status) => {
    const script = `echo out; printf 'err'; echo e >&2; exit ${status}`;
    expect(await execInGuest(target, ['sh', '-c', script])).toEqual({
      status,
      stdout: 'out\nerr',
      stderr: 'e\n',
    });
  });

  test('reads what it is given', async () => {
    expect((await execInGuest(target, ['cat'], { input: 'some\ninput' })).stdout).toBe('some\ninput');
    expect((await execInGuest(target, ['cat'])).stdout).toBe('');
    expect((await execInGuest(target, ['true'], { input: 'x'.repeat(1_000_000) })).status).toBe(0);
  });

  test('that cannot be reached is an error, whatever was printed', async () => {
    standIn('echo "ssh: connect to host 127.0.0.1 port 12202: Connection refused" >&2; exit 255');
    await expect(execInGuest(target, ['true'])).rejects.toMatchObject({
      code: 'guest-unreachable',
      exit: 1,
      what: expect.stringContaining('Connection refused') as string,
    });
  });

  test('needs a client', async () => {
    vi.stubEnv('PATH', '/nowhere');
    await expect(execInGuest(target, ['true'])).rejects.toMatchObject({ code: 'no-ssh-client' });
  });
});
