import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { debian, lockDigest, readLock } from '@sovereign/base';
import { SovereignError, step } from '@sovereign/report';
import { contentKeyed, sha256 } from '@sovereign/store';
import { execa } from 'execa';
import { runInContainer, type ContainerOptions } from './docker/container.ts';
import { openEngine } from './docker/engine.ts';
import { provideImage } from './docker/image.ts';
import { removeOrphans } from './docker/owner.ts';
import { runInside } from './enter.ts';
import { toolPackages, type HostArch } from './packages.ts';
import type { RunOptions } from './run.ts';
import { toolWay, type ToolWay } from './setting.ts';
import { toolTree } from './tree.ts';

/** Raised when the layout below changes, so that trees of an older layout are not taken. */
const LAYOUT = 1;

export interface ToolRoot {
  /** Digest of the tool lock and the tree's layout: the hash input that stands for every tool. */
  digest: string;
  /** What the tools run on: with a container that of the engine, which need not be this machine's. */
  arch: HostArch;
  /**
   * Runs a program inside, without network, with fixed locale, time zone and PATH.
   * @throws SovereignError `tool-failed` with the last lines that it printed
   */
  run(argv: readonly string[], options?: RunOptions): Promise<void>;
}

/** The tools in containers, which may be given a network. */
export interface ContainerTools extends ToolRoot {
  run(argv: readonly string[], options?: ContainerOptions): Promise<void>;
}

export const toolLockPath = (arch: HostArch): string =>
  join(import.meta.dirname, `../tools.${arch}.lock.json`);

export function hostArch(): HostArch {
  if (process.platform === 'linux' && process.arch === 'x64') return 'amd64';
  if (process.platform === 'linux' && process.arch === 'arm64') return 'arm64';
  throw new SovereignError({
    code: 'unsupported-host',
    what: `there is no tool root for ${process.platform} on ${process.arch}`,
    hint: 'Build on Linux on x86-64 or arm64, or with a Docker engine: --tools docker',
  });
}

/**
 * Gives the tools, making them from their lock where they are missing. Both ways have the same digest: what decides
 * the bytes of an artifact is the lock, not how its programs are started.
 */
export function openToolRoot(way: ToolWay = toolWay()): Promise<ToolRoot> {
  return way === 'docker' ? openContainers() : openFolder();
}

async function openFolder(): Promise<ToolRoot> {
  const arch = hostArch();
  const { digest, openTree } = await readTools(arch);
  const make = async (folder: string) => {
    await step('prepare the build tools', async () => {
      const input = await openTree();
      // --no-same-owner: nothing inside depends on owners, and an ordinary user could not set them.
      await execa('tar', ['--extract', '--no-same-owner', '--directory', folder], { input }).catch(
        asTreeError,
      );
    });
  };
  const { folder } = await contentKeyed('toolroot', digest, make, 2);
  return { digest, arch, run: (argv, options = {}) => runInside(folder, argv, options) };
}

/** What is wrong with the tree says more than that tar got only a part of it. */
function asTreeError(error: unknown): never {
  const { cause } = error as Error;
  throw cause instanceof SovereignError ? cause : error;
}

/** The tools in containers, whatever way is set. */
export async function openContainers(): Promise<ContainerTools> {
  const engine = await openEngine();
  await removeOrphans(engine.docker);
  const { digest, openTree } = await readTools(engine.arch);
  const image = await provideImage(engine, digest, openTree);
  const run: ContainerTools['run'] = (argv, options = {}) => runInContainer(engine, image, argv, options);
  return { digest, arch: engine.arch, run };
}

async function readTools(arch: HostArch): Promise<{ digest: string; openTree: () => Promise<Readable> }> {
  const path = toolLockPath(arch);
  const lock = await readLock(path);
  return {
    digest: sha256(`${lockDigest(lock)} layout ${LAYOUT}`),
    openTree: async () => toolTree((await debian.unpack(lock, path)).tar),
  };
}

/** What the tool lock asks apt for; used by the `lock` target. */
export const toolRequest = (arch: HostArch): { packages: readonly string[]; arch: string } => ({
  packages: toolPackages[arch],
  arch,
});
