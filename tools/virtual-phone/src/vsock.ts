import { existsSync } from 'node:fs';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { debian, lockDigest, readLock } from '@sovereign/base';
import { step } from '@sovereign/report';
import { contentKeyed, sha256 } from '@sovereign/store';
import { execa } from 'execa';

/** Gives a VM a vsock device where the machine has none. A test tool only. */
const VSOCK = { crate: 'vhost-device-vsock', version: '0.3.0' } as const;

/** The oldest Rust 1.x that compiles it. */
const RUST = 74;

/** What compiles it where the machine has no such Rust: packages of trixie, with Rust 1.85. */
export const rustPackages = ['cargo', 'gcc', 'libc6-dev', 'coreutils', 'dash'] as const;

export const rustLockPath = join(import.meta.dirname, '../rust.amd64.lock.json');

const cargoHome = (): string => process.env.CARGO_HOME ?? join(homedir(), '.cargo');

/** This machine's cargo, where it is new enough. */
async function ownCargo(): Promise<string | undefined> {
  for (const cargo of ['cargo', join(cargoHome(), 'bin/cargo')]) {
    const { stdout } = await execa(cargo, ['--version'], { reject: false });
    if (Number(/^cargo 1\.(\d+)\./.exec(stdout)?.[1] ?? 0) >= RUST) return cargo;
  }
  return undefined;
}

/** A folder with cargo and all that it runs, made from its lock. */
async function rustTree(): Promise<string> {
  const lock = await readLock(rustLockPath);
  const make = async (folder: string) => {
    const { tar } = await debian.unpack(lock, rustLockPath);
    await execa('tar', ['--extract', '--no-same-owner', '--directory', folder], { input: tar });
    for (const [name, target] of Object.entries({ cc: 'gcc', sh: 'dash' })) {
      await rm(join(folder, 'usr/bin', name), { force: true });
      await symlink(target, join(folder, 'usr/bin', name));
    }
    for (const name of ['bin', 'lib', 'lib64', 'sbin']) {
      if (!existsSync(join(folder, name))) await symlink(`usr/${name}`, join(folder, name));
    }
    for (const name of ['cargo', 'dev', 'etc/ssl', 'out', 'proc', 'tmp']) {
      await mkdir(join(folder, name), { recursive: true });
    }
    for (const name of ['etc/resolv.conf', 'etc/hosts']) await writeFile(join(folder, name), '');
  };
  const { folder } = await contentKeyed(
    'virtual-phone-rust',
    sha256(`${lockDigest(lock)} layout 1`),
    make,
    1,
  );
  return folder;
}

/** Path of vhost-device-vsock, compiled where it is missing. */
export async function vhostDeviceVsock(): Promise<string> {
  const { crate, version } = VSOCK;
  const make = (folder: string) =>
    step(`compile ${crate} ${version}`, async () => {
      const wanted = ['install', '--locked', '--version', version, crate];
      const target = join(folder, 'target');
      const cargo = await ownCargo();
      if (cargo === undefined) {
        await mkdir(cargoHome(), { recursive: true });
        const script = join(import.meta.dirname, '../boot/cargo.sh');
        const inTree = [...wanted, '--root', '/out', '--target-dir', '/out/target'];
        await execa('unshare', ['--mount', 'sh', script, await rustTree(), folder, cargoHome(), ...inTree]);
      } else {
        await execa(cargo, [...wanted, '--root', folder, '--target-dir', target], { stdin: 'ignore' });
      }
      await rm(target, { recursive: true, force: true });
    });
  const { folder } = await contentKeyed('virtual-phone-vsock', sha256(`${crate} ${version}`), make, 1);
  return join(folder, 'bin', crate);
}
