import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { execa } from 'execa';
import { fixedEnvironment, LastLines, type RunOptions } from './run.ts';

/** Ways into the tool root, the first that this machine allows is taken. */
type Way = 'namespace' | 'user-namespace' | 'bubblewrap';

const unshareFlags = ['--mount', '--pid', '--net', '--ipc', '--uts', '--fork', '--kill-child'];
const enterScript = join(import.meta.dirname, 'enter.sh');

/** The command that runs `argv` inside `root` by the given way. Pure. */
export function toCommand(way: Way, root: string, argv: readonly string[], options: RunOptions): string[] {
  const environment = { ...fixedEnvironment, ...options.env };
  const cwd = options.cwd ?? '/';
  const binds = options.binds ?? [];
  if (way === 'bubblewrap') {
    return [
      ...['bwrap', '--unshare-all', '--die-with-parent', '--new-session', '--uid', '0', '--gid', '0'],
      ...['--ro-bind', root, '/', '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp'],
      ...binds.flatMap(({ source, target, write }) => [
        write === true ? '--bind' : '--ro-bind',
        source,
        target,
      ]),
      ...['--chdir', cwd, '--clearenv'],
      ...Object.entries(environment).flatMap(([name, value]) => ['--setenv', name, value]),
      '--',
      ...argv,
    ];
  }
  return [
    'unshare',
    ...(way === 'user-namespace' ? ['--user', '--map-root-user'] : []),
    ...unshareFlags,
    ...['--', 'sh', enterScript, root, cwd],
    ...binds.flatMap(({ source, target, write }) => [write === true ? 'rw' : 'ro', source, target]),
    ...['--', 'env', '-i', ...Object.entries(environment).map(([name, value]) => `${name}=${value}`)],
    ...argv,
  ];
}

let chosen: Promise<Way> | undefined;

/** Tries each way once with a program that does nothing. */
async function findWay(root: string): Promise<Way> {
  const asRoot = process.getuid?.() === 0;
  const ways: Way[] = asRoot ? ['namespace', 'bubblewrap'] : ['user-namespace', 'bubblewrap'];
  for (const way of ways) {
    const [command = '', ...args] = toCommand(way, root, ['true'], {});
    const { failed } = await execa(command, args, { reject: false, stdin: 'ignore' });
    if (!failed) return way;
  }
  throw new SovereignError({
    code: 'no-namespaces',
    what: 'the build tools cannot be entered: this machine allows neither user namespaces nor bubblewrap',
    on: root,
    hint: 'Allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0), install bubblewrap, run as root, or take a Docker engine: --tools docker',
  });
}

export async function runInside(root: string, argv: readonly string[], options: RunOptions): Promise<void> {
  const way = await (chosen ??= findWay(root));
  const [command = '', ...args] = toCommand(way, root, argv, options);
  const inherit = options.stdio === 'inherit';
  const last = new LastLines(options.onLine);
  const child = execa(command, args, {
    stdin: inherit ? 'inherit' : 'ignore',
    stdout: inherit ? 'inherit' : 'pipe',
    stderr: inherit ? 'inherit' : 'pipe',
    all: true,
    buffer: false,
    reject: false,
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
  });
  if (!inherit) {
    for await (const line of child.iterable({ from: 'all' })) last.add(line);
  }
  const { failed, exitCode, signal } = await child;
  if (!failed) return;
  throw last.failure(argv, { status: exitCode, signal });
}
