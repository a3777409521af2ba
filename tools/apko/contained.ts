import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { APKO_DEADLINE, type ApkoRunner } from '@sovereign/base';
import type { ToolRoot } from '@sovereign/tools';

/**
 * Leaves what a program prints and its status in files of the folder: a caller of the tools gets the lines of both
 * streams as one, and of a program that fails no more than its last.
 */
const SCRIPT = '"$@" >apko.stdout 2>apko.stderr; echo $? >apko.status';

/**
 * apko as one of the build tools, in the container that runs them.
 * @param open gives the tools
 * @param program gives the path of apko for their architecture
 */
export const containedApko =
  (
    open: () => Promise<Pick<ToolRoot, 'arch' | 'run'>>,
    program: (arch: ToolRoot['arch']) => Promise<string>,
    deadline = APKO_DEADLINE,
  ): ApkoRunner =>
  async (args, folder, signal) => {
    const tools = await open();
    const path = await program(tools.arch);
    const late = AbortSignal.timeout(deadline);
    try {
      await tools.run(['sh', '-c', SCRIPT, 'sh', `/src/${basename(path)}`, ...args], {
        binds: [
          { source: dirname(path), target: '/src' },
          { source: folder, target: '/out', write: true },
        ],
        cwd: '/out',
        env: { HOME: '/out', TMPDIR: '/out' },
        signal: signal === undefined ? late : AbortSignal.any([signal, late]),
      });
    } catch (error) {
      if (error !== late.reason) throw error;
      return { exitCode: undefined, stdout: '', stderr: '', timedOut: true };
    }
    const read = (name: string) => readFile(join(folder, `apko.${name}`), 'utf8');
    const [status, stdout, stderr] = await Promise.all(['status', 'stdout', 'stderr'].map(read));
    return { exitCode: Number(status), stdout: stdout ?? '', stderr: stderr ?? '' };
  };
