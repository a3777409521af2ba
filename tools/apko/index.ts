import { join } from 'node:path';
import { alpineBase, debian, localApko, type PackageBase } from '@sovereign/base';
import { buildPrograms, lockModule, type GoBuild } from '@sovereign/go';
import { hostArch } from '@sovereign/tools';

const name = 'apko';

/** apko for the machine that builds: what it makes is the same on every one. */
export const apkoBuild = (): GoBuild => ({
  module: join(import.meta.dirname, 'module'),
  programs: [{ name, package: 'chainguard.dev/apko', arch: hostArch() }],
});

let folder: Promise<string> | undefined;

/** Path of apko. Built once from its pinned module, which takes a minute or two, and kept by content. */
export const apkoProgram = async (): Promise<string> =>
  join(await (folder ??= buildPrograms(apkoBuild())), name);

/** Brings go.sum in line with the version that go.mod names. */
export const lockApko = (): Promise<void> => lockModule(apkoBuild().module);

/** Where packages come from, by the name that a service definition uses. */
export const packageBases: Record<'alpine' | 'debian', PackageBase> = {
  alpine: alpineBase(localApko(apkoProgram)),
  debian,
};
