import { join } from 'node:path';
import { buildPrograms, lockModule, type GoBuild } from '@sovereign/go';
import { hostArch } from '@sovereign/tools';

const name = 'restic';

/** restic for this machine. */
export const resticBuild = (): GoBuild => ({
  module: join(import.meta.dirname, '../restic'),
  programs: [{ name, package: 'github.com/restic/restic/cmd/restic', arch: hostArch() }],
});

/** Path of restic. Built once from its pinned module, which takes some minutes, and kept by content. */
export const resticProgram = async (): Promise<string> => join(await buildPrograms(resticBuild()), name);

/** Brings go.sum in line with the version that go.mod names. */
export const lockRestic = (): Promise<void> => lockModule(resticBuild().module);
