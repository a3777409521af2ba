import { mkdtemp, readFile, rm, appendFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { step } from '@sovereign/report';
import { assertConfig, checkConfig, staleExceptions, type Exception } from './check.ts';
import { parseConfig } from './config.ts';
import type { Fragments } from './fragments.ts';
import { readKconfig } from './kconfig.ts';
import { make } from './make.ts';
import type { ToolRunner } from './runner.ts';
import type { KernelSource } from './source.ts';

/**
 * `defconfig` and the kernel's own `virt.config`. What defconfig builds as a module is left out, since there are no
 * modules: without `mod2noconfig` it would all be built in.
 */
export const baseTargets = ['defconfig', 'virt.config', 'mod2noconfig'] as const;

/**
 * Makes the final configuration: the base, then the fragments, then what Kconfig makes of them.
 * @returns the text of the `.config`
 * @throws SovereignError `config-not-kept` where a request was dropped or changed
 */
export async function configure(
  source: KernelSource,
  fragments: Fragments,
  exceptions: readonly Exception[],
  tools: ToolRunner,
): Promise<string> {
  return step(`configure Linux ${source.version}`, async (handle) => {
    const text = await makeConfig(source, fragments.text, tools);
    const final = parseConfig(text);
    const problems = checkConfig(fragments.requests, final, exceptions, () => undefined);
    // The Kconfig files are only read where something has to be explained.
    const explained =
      problems.length === 0
        ? []
        : checkConfig(fragments.requests, final, exceptions, await readKconfig(source.folder));
    assertConfig(explained, staleExceptions(fragments.requests, final, exceptions));
    handle.detail(`${[...final.values()].filter((value) => value === 'y').length} built in`);
    return text;
  });
}

/** The configuration that `fragments` lead to, unchecked; with no text the base itself. */
export async function makeConfig(
  source: KernelSource,
  fragments: string,
  tools: ToolRunner,
): Promise<string> {
  const build = await mkdtemp(join(tmpdir(), 'sovereign-kernel-'));
  try {
    const options = { source: source.folder, build };
    await make(tools, baseTargets, options);
    await appendFile(join(build, '.config'), `\n${fragments}`);
    await make(tools, ['olddefconfig'], options);
    return await readFile(join(build, '.config'), 'utf8');
  } finally {
    await rm(build, { recursive: true, force: true });
  }
}
