import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { cacheDir } from '@sovereign/store';
import { execa } from 'execa';

/** Modules and what Go knows of their sums; Go's own cache of what it compiled lies beside it. */
export const goPath = (): string => cacheDir('go', 'path');
export const goBuildCache = (): string => cacheDir('go', 'build');

type Environment = Readonly<Record<string, string>>;

/**
 * Environment of what fetches, beside the machine's own. Where modules come from and who vouches for them is the
 * machine's to say (GOPROXY, GOSUMDB, proxies, in the environment or in Go's own settings); what arrives is held to our
 * sums.
 */
export const fetchEnvironment = (path = goPath()): Environment => ({
  // Writable, so that the cache can be deleted like any folder.
  GOFLAGS: '-mod=readonly -modcacherw',
  GOTOOLCHAIN: 'local',
  GOWORK: 'off',
  GO111MODULE: 'on',
  GOPATH: path,
  GOMODCACHE: join(path, 'pkg/mod'),
  GOCACHE: goBuildCache(),
});

/**
 * What decides the bytes of a program: nothing of the machine's, and no network. No HOME: Go would keep what it counts
 * of itself there.
 */
export const fixedEnvironment = {
  PATH: '/usr/bin:/bin',
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
export const buildEnvironment = (arch: 'amd64' | 'arm64', cache = goBuildCache()): Environment => ({
  ...fixedEnvironment,
  GOARCH: arch,
  GOPATH: goPath(),
  GOCACHE: cache,
});

/** A `go` command: an absolute path, and the folder around it that holds all that belongs to it. */
export interface GoCommand {
  path: string;
  folder: string;
}

/** Paths are this machine's, absolute. */
export interface GoCall {
  args: readonly string[];
  cwd: string;
  env: Environment;
  /** Whether it fetches: then it gets the machine's network, and the machine's settings where `env` has no other. */
  fetches?: boolean;
  /** Folders that it writes into, beside those that `env` names. */
  writes?: readonly string[];
}

export interface GoResult {
  /** Undefined where a signal ended it, or it did not start. */
  exitCode?: number | undefined;
  signal?: string | undefined;
  /** The system's code where it did not start, for example `ENOENT`. */
  code?: string | undefined;
  stdout: string;
  stderr: string;
}

/** Runs a `go` command, here or elsewhere. */
export type GoRunner = (go: GoCommand, call: GoCall) => Promise<GoResult>;

/** As a process of this machine. */
export const localGo: GoRunner = (go, { args, cwd, env, fetches }) =>
  execa(go.path, args, {
    cwd,
    env,
    extendEnv: fetches === true,
    stdin: 'ignore',
    reject: false,
  });

/** Lines that a failed command printed last and that its error repeats. */
const LAST_LINES = 15;

/**
 * Runs the `go` command and gives what it printed.
 * @throws SovereignError `go-failed` with the last lines that it printed
 */
export async function runGo(run: GoRunner, go: GoCommand, call: GoCall): Promise<string> {
  const { exitCode, signal, code, stdout, stderr } = await run(go, call);
  if (exitCode === 0) return stdout;
  const { args } = call;
  const last = `${stdout}\n${stderr}`.trim().split('\n').slice(-LAST_LINES);
  throw new SovereignError({
    code: 'go-failed',
    what: `go ${args[0] ?? ''} ended with ${signal ?? `status ${exitCode ?? code ?? '?'}`}`,
    on: ['go', ...args].slice(0, 6).join(' '),
    hint: `It printed:\n${last.map((line) => `    ${line}`).join('\n')}`,
  });
}
