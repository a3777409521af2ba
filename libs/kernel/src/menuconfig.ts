import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { diffConfig, parseConfig } from './config.ts';
import { make } from './make.ts';
import type { ToolRunner } from './runner.ts';
import type { KernelSource } from './source.ts';

/**
 * Opens the kernel's menu on a configuration, on this process's terminal.
 * @returns what was changed, as lines for a fragment
 */
export async function menuconfig(source: KernelSource, config: string, tools: ToolRunner): Promise<string[]> {
  const build = await mkdtemp(join(tmpdir(), 'sovereign-kernel-'));
  try {
    const file = join(build, '.config');
    await writeFile(file, config);
    const env = { TERM: process.env.TERM ?? 'linux' };
    await make(tools, ['menuconfig'], { source: source.folder, build, stdio: 'inherit', env });
    return diffConfig(parseConfig(config), parseConfig(await readFile(file, 'utf8')));
  } finally {
    await rm(build, { recursive: true, force: true });
  }
}
