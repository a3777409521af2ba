import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { diffConfig, parseConfig } from './config.ts';
import { make } from './make.ts';
import type { ToolRunner } from './runner.ts';
import type { KernelSource } from './source.ts';
import { findTerminal } from './terminal.ts';

/** A mount point of the tool root that the menu has no other use for. */
const TERMINFO = '/out';

/**
 * Opens the kernel's menu on a configuration, on this process's terminal.
 * @returns what was changed, as lines for a fragment
 */
export async function menuconfig(source: KernelSource, config: string, tools: ToolRunner): Promise<string[]> {
  const terminal = findTerminal();
  const build = await mkdtemp(join(tmpdir(), 'sovereign-kernel-'));
  try {
    const file = join(build, '.config');
    await writeFile(file, config);
    await make(tools, ['menuconfig'], {
      source: source.folder,
      build,
      stdio: 'inherit',
      env: { TERM: terminal.name, TERMINFO },
      binds: [{ source: terminal.folder, target: TERMINFO }],
    });
    return diffConfig(parseConfig(config), parseConfig(await readFile(file, 'utf8')));
  } finally {
    await rm(build, { recursive: true, force: true });
  }
}
