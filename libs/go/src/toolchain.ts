import { chmod, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { debian, lockDigest, readLock, type LockRequest } from '@sovereign/base';
import { SovereignError, step } from '@sovereign/report';
import { canonicalJson, contentKeyed, sha256, writeFileAtomic } from '@sovereign/store';
import type { HostArch } from '@sovereign/tools';
import { execa } from 'execa';
import { z } from 'zod';
import { fetchEnvironment, runGo, type GoCall, type GoCommand } from './go.ts';
import { openGoWay, type GoWay } from './way.ts';

/** The Go that everything is built with; another one asks for a new toolchain lock. */
export const TOOLCHAIN = 'go1.26.8';

/** Toolchains that are kept, and so many of the Go that fetches them. */
const KEPT = 2;

const BOOTSTRAP = 'golang-1.24-go';

/** A module sum as in go.sum: SHA-256 over the digests of all files. */
const sum = z.string().regex(/^h1:[A-Za-z0-9+/]{43}=$/);
const lockSchema = z.strictObject({
  schema: z.literal(1),
  version: z.string(),
  /** By the architecture of the machine that builds. */
  sums: z.strictObject({ amd64: sum, arm64: sum }),
});
export type ToolchainLock = z.output<typeof lockSchema>;

export const toolchainLockPath = (): string => join(import.meta.dirname, '../toolchain.json');
export const bootstrapLockPath = (arch: HostArch): string =>
  join(import.meta.dirname, `../bootstrap.${arch}.lock.json`);

/** What fetching modules does without: the standard library, and on arm64 a linker with what it is linked against. */
const leftOut = [
  'golang-1.24-src',
  'binutils-gold',
  'binutils-gold-aarch64-linux-gnu',
  'gcc-14-base',
  'libc6',
  'libgcc-s1',
  'libjansson4',
  'libzstd1',
  'zlib1g',
];

/** What the bootstrap lock asks apt for: the `go` command, which is static. */
export const bootstrapRequest = (arch: HostArch): LockRequest => ({
  packages: [BOOTSTRAP],
  leaveOut: leftOut,
  arch,
});

export async function readToolchainLock(): Promise<ToolchainLock> {
  const path = toolchainLockPath();
  const parsed = lockSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
  if (parsed.success && parsed.data.version === TOOLCHAIN) return parsed.data;
  throw new SovereignError({
    code: 'bad-lock',
    what: `this is no lock of the Go toolchain ${TOOLCHAIN}`,
    on: path,
    hint: 'Make it again: nx run @sovereign/go:lock',
  });
}

export interface Toolchain {
  /** The hash input that stands for the compiler. */
  version: string;
  /** What it runs on. */
  arch: HostArch;
  /**
   * Runs its `go` command and gives what that printed.
   * @throws SovereignError `go-failed` with the last lines that it printed
   */
  run(call: GoCall): Promise<string>;
}

/** Gives the pinned toolchain, fetching it as the Go module that it is where it is missing. */
export async function openToolchain(): Promise<Toolchain> {
  const { version, sums } = await readToolchainLock();
  const way = await openGoWay();
  const expected = sums[way.arch];
  const make = (folder: string) =>
    step(`prepare ${version}`, async () => {
      const fetched = await download(way, way.arch, join(folder, 'path'));
      await installToolchain(fetched, expected, join(folder, 'go'));
      await rm(join(folder, 'path'), { recursive: true });
    });
  const { folder } = await contentKeyed('go-toolchain', sha256(`${version} ${expected}`), make, KEPT);
  const go = { folder, path: join(folder, 'go/bin/go') };
  return { version, arch: way.arch, run: (call) => runGo(way.run, go, call) };
}

export interface FetchedModule {
  /** Where its files are. */
  dir: string;
  /** As in go.sum. */
  sum: string;
}

/**
 * Moves the toolchain's files to their place.
 * @throws SovereignError `wrong-digest` where they are not what the lock names
 */
export async function installToolchain(
  fetched: FetchedModule,
  expected: string,
  target: string,
): Promise<void> {
  if (fetched.sum !== expected) {
    throw new SovereignError({
      code: 'wrong-digest',
      what: `${TOOLCHAIN} is not what the lock names: ${fetched.sum}, expected ${expected}; it was discarded`,
      on: toolchainLockPath(),
      hint: 'Try another module proxy, and tell the maintainers when it stays so',
    });
  }
  await rename(fetched.dir, target);
  // Module archives carry no modes; the same files as cmd/go/internal/toolchain marks.
  for (const folder of ['bin', 'pkg/tool']) {
    const entries = await readdir(join(target, folder), { recursive: true, withFileTypes: true });
    for (const entry of entries) if (entry.isFile()) await chmod(join(entry.parentPath, entry.name), 0o755);
  }
}

/** Asks for the sums of the toolchain, for every kind of host; whoever vouches for modules has confirmed them. */
export async function lockToolchain(): Promise<void> {
  const fetched = await contentKeyed('go-toolchain-lock', sha256(TOOLCHAIN), async (folder) => {
    const way = await openGoWay();
    const sumOf = async (arch: HostArch) => (await download(way, arch, join(folder, arch))).sum;
    const lock: ToolchainLock = {
      schema: 1,
      version: TOOLCHAIN,
      sums: { amd64: await sumOf('amd64'), arm64: await sumOf('arm64') },
    };
    for (const arch of ['amd64', 'arm64']) await rm(join(folder, arch), { recursive: true });
    await writeFileAtomic(join(folder, 'toolchain.json'), canonicalJson(lock));
  });
  await writeFileAtomic(toolchainLockPath(), await readFile(join(fetched.folder, 'toolchain.json')));
}

const downloaded = z.object({ Sum: sum });

/**
 * Fetches the toolchain's module with the bootstrap into a module cache of its own.
 * @param arch of the toolchain, which need not be that of the bootstrap
 */
async function download(way: GoWay, arch: HostArch, path: string): Promise<FetchedModule> {
  const go = await openBootstrap(way.arch);
  await mkdir(path, { recursive: true });
  const module = `golang.org/toolchain@v0.0.1-${TOOLCHAIN}.linux-${arch}`;
  const args = ['mod', 'download', '-json', module];
  const call = { args, cwd: path, env: fetchEnvironment(path), fetches: true, writes: [path] };
  const printed = await runGo(way.run, go, call).catch((error: unknown) => {
    throw notFetched('the Go toolchain', error);
  });
  // Where it is, is said too, but as seen from where Go ran.
  return { dir: join(path, 'pkg/mod', module), sum: downloaded.parse(JSON.parse(printed)).Sum };
}

/** An older Go, from a locked Debian package: it knows by itself where modules come from. */
async function openBootstrap(arch: HostArch): Promise<GoCommand> {
  const lockPath = bootstrapLockPath(arch);
  const lock = await readLock(lockPath);
  const make = (target: string) =>
    step('prepare the Go that fetches', async () => {
      const { tar } = await debian.unpack(lock, lockPath);
      await execa('tar', ['--extract', '--no-same-owner', '--directory', target], { input: tar });
    });
  const { folder } = await contentKeyed('go-bootstrap', lockDigest(lock), make, KEPT);
  return { folder, path: join(folder, 'usr/lib/go-1.24/bin/go') };
}

/** Go's own words are kept: they name the server and the reason. */
export const notFetched = (what: string, cause: unknown): unknown =>
  !(cause instanceof SovereignError) || cause.code !== 'go-failed'
    ? cause
    : new SovereignError({
        code: 'no-network',
        what: `${what} could not be fetched`,
        on: cause.on,
        hint: `Check the connection, or name a module proxy in GOPROXY (docs/use.md, "Mirrors"). ${cause.hint ?? ''}`,
        cause,
      });
