import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDir, withScratch } from '@sovereign/store';
import { runApart, type Bind, type ContainerTools } from '@sovereign/tools';
import type { GoCall, GoCommand, GoRunner } from './go.ts';
import { machineSettings } from './machine.ts';

/** `sh -c SCRIPT SETTINGS COMMAND...` */
const SCRIPT = '. "$0"; exec "$@"';

/**
 * Go in the container that runs the build tools, for a host on which a `go` command of Linux does not run. Go is
 * static: of the tools it needs a shell alone. What fetches has a network and the machine's settings, and what compiles
 * has neither.
 */
export const containedGo =
  (tools: Pick<ContainerTools, 'run'>, settings = machineSettings): GoRunner =>
  (go, call) => {
    const caches = cacheDir('go');
    return withScratch(join(caches, 'run'), async (scratch) => {
      // Of one user: it may hold that user's words for a proxy.
      await chmod(scratch, 0o700);
      for (const folder of ['path', 'build']) await mkdir(join(caches, folder), { recursive: true });
      const binds = bindsOf(go, call, caches);
      const inside = (path: string) => insideOf(binds, path);
      const env = Object.entries(call.env).map(([name, value]) => [name, inside(value)] as const);
      const command = [inside(go.path), ...call.args.map(inside)];
      let argv = command;
      if (call.fetches === true) {
        const script = await settings(scratch, inside);
        await writeFile(join(scratch, 'settings'), script, { mode: 0o600 });
        argv = ['sh', '-c', SCRIPT, inside(join(scratch, 'settings')), ...command];
      }
      const { exitCode, stdout, stderr } = await runApart(tools, argv, {
        folder: { source: scratch, target: inside(scratch) },
        name: 'go',
        options: {
          binds,
          cwd: inside(call.cwd),
          // What it unpacks and links is too much for the container's /tmp, which is memory.
          env: { ...Object.fromEntries(env), GOTMPDIR: inside(scratch) },
          ...(call.fetches === true ? { network: true } : {}),
        },
      });
      // What the shell says of a signal, which is SIGKILL where memory ran out.
      return exitCode === 137 ? { signal: 'SIGKILL', stdout, stderr } : { exitCode, stdout, stderr };
    });
  };

/** Go itself, its caches, where it is called, and the one folder beside those that it may write into. */
export function bindsOf(go: GoCommand, { cwd, writes = [] }: GoCall, caches: string): Bind[] {
  const [out, ...more] = writes.filter((folder) => folder !== cwd);
  if (more.length > 0) throw new Error('a container has one mount point for what Go writes');
  return [
    { source: go.folder, target: '/build' },
    { source: caches, target: '/cache', write: true },
    { source: cwd, target: '/src', write: writes.includes(cwd) },
    ...(out === undefined ? [] : [{ source: out, target: '/out', write: true }]),
  ];
}

/** The same path inside, by the bind that holds it; any other text as it is. */
export function insideOf(binds: readonly Bind[], path: string): string {
  for (const { source, target } of binds) {
    if (path === source) return target;
    if (path.startsWith(`${source}/`)) return target + path.slice(source.length);
  }
  return path;
}
