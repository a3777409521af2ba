import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { withLock } from '@sovereign/store';
import { execa } from 'execa';
import { deviceConfigDir } from './secrets.ts';

export interface KeyPair {
  /** OpenSSH private key file, mode 0600. */
  file: string;
  /** The key in OpenSSH's format, ends with a newline. */
  private: string;
  /** `ssh-ed25519 AAAA…`, without comment or newline. */
  public: string;
}

/** The owner's key: it opens every guest of the device. */
export const ownerKey = (deviceId: string): Promise<KeyPair> => key(deviceId, 'owner');

/** The host key of one service's guest, which the client pins. */
export const hostKey = (deviceId: string, service: string): Promise<KeyPair> =>
  key(deviceId, `host-${service}`);

/** True where this workstation holds the host key of a service's guest. */
export const knowsHostKey = (deviceId: string, service: string): boolean =>
  existsSync(keyFolder(deviceId, `host-${service}`));

/** Takes over the host key of a service's guest: an OpenSSH private key. What is there stays. */
export async function adoptHostKey(deviceId: string, service: string, privateKey: string): Promise<void> {
  const folder = keyFolder(deviceId, `host-${service}`);
  if (existsSync(folder)) return;
  await makeKeyFolder(folder, async (temporary) => {
    const file = join(temporary, 'id_ed25519');
    await writeFile(file, privateKey, { mode: 0o600 });
    const made = await execa('ssh-keygen', ['-y', '-f', file], { reject: false, stdin: 'ignore' });
    if (made.failed) throw noKey(folder, made.stderr === '' ? made.shortMessage : made.stderr);
    await writeFile(`${file}.pub`, `${made.stdout}\n`);
  });
}

/** Removes the host key of a service whose data is gone. */
export async function forgetHostKey(deviceId: string, service: string): Promise<void> {
  await rm(keyFolder(deviceId, `host-${service}`), { recursive: true, force: true });
  await rm(knownHostsFile(deviceId, service), { force: true });
}

/** The client's list of host keys for one guest; written when it is needed, since the port may change. */
export const knownHostsFile = (deviceId: string, service: string): string =>
  deviceConfigDir(deviceId, 'ssh', `known-hosts-${service}`);

const keyFolder = (deviceId: string, name: string): string => deviceConfigDir(deviceId, 'ssh', name);

/** Each pair has a folder of its own, so that it appears whole, by one rename. */
async function key(deviceId: string, name: string): Promise<KeyPair> {
  const folder = keyFolder(deviceId, name);
  if (!existsSync(folder)) {
    await withLock(deviceConfigDir(deviceId, 'lock'), async () => {
      if (!existsSync(folder)) await generate(folder);
    });
  }
  const file = join(folder, 'id_ed25519');
  const [priv, pub] = await Promise.all([readFile(file, 'utf8'), readFile(`${file}.pub`, 'utf8')]);
  return { file, private: priv, public: pub.trim().split(' ').slice(0, 2).join(' ') };
}

const generate = (folder: string): Promise<void> =>
  makeKeyFolder(folder, async (temporary) => {
    const made = await execa(
      'ssh-keygen',
      ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', join(temporary, 'id_ed25519')],
      { reject: false, stdin: 'ignore' },
    );
    if (made.failed) throw noKey(folder, made.stderr === '' ? made.shortMessage : made.stderr);
  });

async function makeKeyFolder(folder: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  const parent = join(folder, '..');
  await mkdir(parent, { recursive: true, mode: 0o700 });
  const temporary = await mkdtemp(join(parent, '.new-'));
  try {
    await fill(temporary);
    await rename(temporary, folder);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

const noKey = (folder: string, said = 'it says nothing'): SovereignError =>
  new SovereignError({
    code: 'no-ssh-client',
    what: `ssh-keygen cannot make a key: ${said}`,
    on: folder,
    hint: 'Install an OpenSSH client (Debian: apt-get install openssh-client)',
  });
