import { join } from 'node:path';
import { existsSync } from 'node:fs';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { lockDigest, packageBases, readLock } from '@sovereign/base';
import { SovereignError, step } from '@sovereign/report';
import { contentKeyed, sha256 } from '@sovereign/store';
import { execa } from 'execa';
import { runInside, type RunOptions } from './enter.ts';
import { toolPackages, type HostArch } from './packages.ts';

/** Raised when the layout below changes, so that trees of an older layout are not taken. */
const LAYOUT = 1;

/** Where a caller may bind folders; they have to exist in the tree, because it is mounted read-only. */
export const mountPoints = ['/src', '/build', '/out', '/cache'] as const;

export interface ToolRoot {
  /** Digest of the tool lock and the tree's layout: the hash input that stands for every tool. */
  digest: string;
  folder: string;
  /**
   * Runs a program inside, without network, with fixed locale, time zone and PATH.
   * @throws SovereignError `tool-failed` with the last lines that it printed
   */
  run(argv: readonly string[], options?: RunOptions): Promise<void>;
}

export const toolLockPath = (arch: HostArch): string =>
  join(import.meta.dirname, `../tools.${arch}.lock.json`);

export function hostArch(): HostArch {
  if (process.platform === 'linux' && process.arch === 'x64') return 'amd64';
  if (process.platform === 'linux' && process.arch === 'arm64') return 'arm64';
  throw new SovereignError({
    code: 'unsupported-host',
    what: `there is no tool root for ${process.platform} on ${process.arch}`,
    hint: 'Build on Linux on x86-64 or arm64',
  });
}

/** Gives the tool root, making it from its lock where it is missing. */
export async function openToolRoot(): Promise<ToolRoot> {
  const lockPath = toolLockPath(hostArch());
  const lock = await readLock(lockPath);
  const digest = sha256(`${lockDigest(lock)} layout ${LAYOUT}`);
  const make = async (folder: string) => {
    await step('prepare the build tools', async () => {
      const { tar } = await packageBases.debian.unpack(lock, lockPath);
      // --no-same-owner: nothing inside depends on owners, and an ordinary user could not set them.
      await execa('tar', ['--extract', '--no-same-owner', '--directory', folder], { input: tar });
      await finish(folder);
    });
  };
  const { folder } = await contentKeyed('toolroot', digest, make, 2);
  return { digest, folder, run: (argv, options = {}) => runInside(folder, argv, options) };
}

/** What the packages' install scripts would have done that the tools need. */
async function finish(folder: string): Promise<void> {
  const links = { awk: 'gawk', cc: 'gcc', sh: 'dash' };
  for (const [name, target] of Object.entries(links)) {
    const path = join(folder, 'usr/bin', name);
    await rm(path, { force: true });
    await symlink(target, path);
  }
  await writeFile(join(folder, 'etc/passwd'), 'root:x:0:0:root:/tmp:/bin/sh\n');
  await writeFile(join(folder, 'etc/group'), 'root:x:0:\n');
  for (const point of [...mountPoints, '/dev', '/proc', '/tmp']) {
    await mkdir(join(folder, point), { recursive: true });
  }
  if (!existsSync(join(folder, 'usr/bin/mkfs.erofs')) || !existsSync(join(folder, 'bin/sh'))) {
    throw new SovereignError({
      code: 'bad-tools',
      what: 'the unpacked build tools are not complete',
      on: folder,
      hint: 'Make the tool lock again: nx run @sovereign/tools:lock',
    });
  }
}

/** What the tool lock asks apt for; used by the `lock` target. */
export const toolRequest = (arch: HostArch): { packages: readonly string[]; arch: string } => ({
  packages: toolPackages[arch],
  arch,
});
