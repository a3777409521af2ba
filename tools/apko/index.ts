import { join } from 'node:path';
import { alpineBase, debian, localApko, type ApkoRunner, type PackageBase } from '@sovereign/base';
import { buildPrograms, lockModule, type GoBuild } from '@sovereign/go';
import { hostArch, openToolRoot, toolWay, type HostArch } from '@sovereign/tools';
import { containedApko } from './contained.ts';

export { containedApko };

const name = 'apko';

const module = join(import.meta.dirname, 'module');

/** apko for the machine that runs it: what it makes is the same on every one. */
const apkoBuild = (arch: HostArch): GoBuild => ({
  module,
  programs: [{ name, package: '.', arch }],
});

const folders = new Map<HostArch, Promise<string>>();

/** Path of apko. Built once from its pinned module, which takes a minute or two, and kept by content. */
export async function apkoProgram(arch: HostArch = hostArch()): Promise<string> {
  const folder = folders.get(arch) ?? buildPrograms(apkoBuild(arch));
  folders.set(arch, folder);
  return join(await folder, name);
}

/** Brings go.sum in line with the version that go.mod names. */
export const lockApko = (): Promise<void> => lockModule(module);

const local = localApko(apkoProgram);
const contained = containedApko(() => openToolRoot('docker'), apkoProgram);

/** apko in the way that is set for the build tools. It is static: without a container it needs none of them. */
const apko: ApkoRunner = (...call) => (toolWay() === 'docker' ? contained : local)(...call);

/** Where packages come from, by the name that a service definition uses. */
export const packageBases: Record<'alpine' | 'debian', PackageBase> = {
  alpine: alpineBase(apko),
  debian,
};
