import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { step, type StepHandle } from '@sovereign/report';
import { canonicalJson, contentKeyed, sha256 } from '@sovereign/store';
import { buildEnvironment, fetchEnvironment, fixedEnvironment } from './go.ts';
import { notFetched, openToolchain, readToolchainLock, type Toolchain } from './toolchain.ts';

export interface GoProgram {
  /** Name of the file. */
  name: string;
  /** Import path of its main package, or `./folder` within the module. */
  package: string;
  arch: 'amd64' | 'arm64';
  /** Build tags, where the module has some to choose from. */
  tags?: readonly string[];
  /** What the linker puts into string variables, by `import/path.name`. */
  variables?: Readonly<Record<string, string>>;
}

export interface GoBuild {
  /** Folder with go.mod and go.sum, which pin every module by sum. */
  module: string;
  programs: readonly GoProgram[];
}

/** Static, stripped, without paths and stamps: the same bytes wherever it is built. */
const flags = ['-trimpath', '-buildvcs=false'];
const linker = '-ldflags=-s -w -buildid=';

/** Finished sets of programs that are kept. */
const KEEP = 8;

/** Gives a folder with the programs, from the cache or built with the pinned toolchain. */
export async function buildPrograms(build: GoBuild): Promise<string> {
  const { version, sums } = await readToolchainLock();
  const key = sha256(
    canonicalJson({
      toolchain: { version, sums },
      files: await sources(build.module),
      programs: build.programs,
      flags: [...flags, linker],
      environment: fixedEnvironment,
    }),
  );
  return step(`build ${[...new Set(build.programs.map(({ name }) => name))].join(', ')}`, async (handle) => {
    const make = async (folder: string) => compilePrograms(build, await openToolchain(), folder, { handle });
    const { folder, cached } = await contentKeyed('go-programs', key, make, KEEP);
    if (cached) handle.cached();
    return folder;
  });
}

/**
 * Compiles the programs into a folder, each as `NAME`.
 * @param options.cache Go's cache of what it compiled; another one for the test that two builds give the same bytes
 */
export async function compilePrograms(
  { module, programs }: GoBuild,
  go: Pick<Toolchain, 'run'>,
  target: string,
  { handle, cache }: { handle?: StepHandle; cache?: string } = {},
): Promise<void> {
  await mkdir(target, { recursive: true });
  for (const { package: path, arch, tags } of programs) {
    // What a program is not made of stays where it is, which is most of what large modules name.
    const args = ['list', '-deps', ...tagFlags(tags), path];
    const env = { ...fetchEnvironment(), GOOS: 'linux', GOARCH: arch, CGO_ENABLED: '0' };
    await go.run({ args, cwd: module, env, fetches: true }).catch((error: unknown) => {
      throw notFetched('the Go modules', error);
    });
  }
  for (const [index, program] of programs.entries()) {
    handle?.progress(index, programs.length, 'programs');
    const { name, package: path, arch, tags, variables = {} } = program;
    const set = Object.entries(variables).map(([variable, value]) => ` -X ${variable}=${value}`);
    const decides = [...flags, `${linker}${set.join('')}`, ...tagFlags(tags)];
    const args = ['build', ...decides, '-o', join(target, name), path];
    await go.run({ args, cwd: module, env: buildEnvironment(arch, cache), writes: [target] });
  }
}

const tagFlags = (tags: readonly string[] = []): string[] =>
  tags.length === 0 ? [] : [`-tags=${tags.join(',')}`];

/**
 * Brings go.mod and go.sum in line with the versions that go.mod names, by the machine's own settings for fetching.
 * @throws SovereignError `no-network` where modules cannot be had
 */
export async function lockModule(module: string): Promise<void> {
  const go = await openToolchain();
  const env = { ...fetchEnvironment(), GOFLAGS: '-modcacherw' };
  const call = { args: ['mod', 'tidy'], cwd: module, env, fetches: true, writes: [module] };
  await go.run(call).catch((error: unknown) => {
    throw notFetched('the Go modules', error);
  });
}

/** Runs a tool that go.mod names, and gives what it printed. */
export async function runModuleTool(module: string, name: string, args: readonly string[]): Promise<string> {
  const go = await openToolchain();
  return go.run({ args: ['tool', name, ...args], cwd: module, env: buildEnvironment(go.arch) });
}

/**
 * Runs Go's own tests of a package that needs no other module.
 * @throws SovereignError `go-failed` with what failed
 */
export async function testPackage(module: string, path: string): Promise<void> {
  const go = await openToolchain();
  // With what a build compiled already.
  const args = ['test', ...flags, '-vet=off', '-count=1', path];
  await go.run({ args, cwd: module, env: buildEnvironment(go.arch) });
}

/** Digests of the module's own files, by path; tests are no part of a program. */
async function sources(module: string): Promise<Record<string, string>> {
  const names = (await readdir(module, { recursive: true })).filter(
    (name) => /(^go\.(mod|sum)|\.go)$/.test(name) && !name.endsWith('_test.go'),
  );
  const digests = names
    .sort()
    .map(async (name) => [name, sha256(await readFile(join(module, name)))] as const);
  return Object.fromEntries(await Promise.all(digests));
}
