import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { cacheDir } from '@sovereign/store';
import { execa } from 'execa';

/** Modules and what Go knows of their sums; Go's own cache of what it compiled lies beside it. */
export const goPath = (): string => cacheDir('go', 'path');
export const goBuildCache = (): string => cacheDir('go', 'build');

/**
 * Environment of what fetches. Where modules come from and who vouches for them is the machine's to say (GOPROXY,
 * GOSUMDB, proxies, in the environment or in Go's own settings); what arrives is held to our sums.
 */
export const fetchEnvironment = (path = goPath()): Record<string, string | undefined> => ({
  ...process.env,
  // Writable, so that the cache can be deleted like any folder.
  GOFLAGS: '-mod=readonly -modcacherw',
  GOTOOLCHAIN: 'local',
  GOWORK: 'off',
  GO111MODULE: 'on',
  GOPATH: path,
  GOMODCACHE: join(path, 'pkg/mod'),
  GOCACHE: goBuildCache(),
});

/** What decides the bytes of a program: nothing of the machine's, and no network. */
export const fixedEnvironment = {
  PATH: '/usr/bin:/bin',
  HOME: '/nonexistent',
  LC_ALL: 'C',
  TZ: 'UTC',
  GOENV: 'off',
  GOPROXY: 'off',
  GOFLAGS: '-mod=readonly',
  GOTOOLCHAIN: 'local',
  GOWORK: 'off',
  CGO_ENABLED: '0',
  GOOS: 'linux',
};

/** Environment of what compiles. */
export const buildEnvironment = (
  arch: 'amd64' | 'arm64',
  cache = goBuildCache(),
): Record<string, string> => ({
  ...fixedEnvironment,
  GOARCH: arch,
  GOPATH: goPath(),
  GOCACHE: cache,
});

export interface GoRun {
  /** Absolute path of the `go` command. */
  go: string;
  args: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string | undefined>>;
}

/** Lines that a failed command printed last and that its error repeats. */
const LAST_LINES = 15;

/**
 * Runs the `go` command and gives what it printed.
 * @throws SovereignError `go-failed` with the last lines that it printed
 */
export async function runGo({ go, args, cwd, env }: GoRun): Promise<string> {
  const { failed, stdout, stderr, exitCode, signal, code } = await execa(go, args, {
    cwd,
    env,
    extendEnv: false,
    stdin: 'ignore',
    reject: false,
  });
  if (!failed) return stdout;
  const last = `${stdout}\n${stderr}`.trim().split('\n').slice(-LAST_LINES);
  throw new SovereignError({
    code: 'go-failed',
    what: `go ${args[0] ?? ''} ended with ${signal ?? `status ${exitCode ?? code ?? '?'}`}`,
    on: ['go', ...args].slice(0, 6).join(' '),
    hint: `It printed:\n${last.map((line) => `    ${line}`).join('\n')}`,
  });
}
