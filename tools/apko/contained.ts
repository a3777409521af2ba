import { basename, dirname } from 'node:path';
import { APKO_DEADLINE, type ApkoRunner } from '@sovereign/base';
import { runApart, type ToolRoot } from '@sovereign/tools';

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
  async (args, folder) => {
    const tools = await open();
    const path = await program(tools.arch);
    const late = AbortSignal.timeout(deadline);
    const out = { source: folder, target: '/out', write: true };
    try {
      return await runApart(tools, [`/src/${basename(path)}`, ...args], {
        folder: out,
        name: 'apko',
        options: {
          binds: [{ source: dirname(path), target: '/src' }, out],
          cwd: '/out',
          env: { HOME: '/out', TMPDIR: '/out' },
          signal: late,
        },
      });
    } catch (error) {
      if (error !== late.reason) throw error;
      return { exitCode: undefined, stdout: '', stderr: '', timedOut: true };
    }
  };
