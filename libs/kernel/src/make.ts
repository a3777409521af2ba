import type { ToolRunner } from './runner.ts';

/** Paths inside the tool root: the same on every machine, so that no object file knows where it was built. */
export const SOURCE = '/src';
export const BUILD = '/build';
export const CCACHE = '/cache';

/**
 * What decides the kernel's own build stamps (Documentation/kbuild/reproducible-builds.rst). The time is fixed: two
 * kernels differ in what they are made of, not in when.
 */
export const buildStamps = {
  KBUILD_BUILD_TIMESTAMP: 'Thu Jan  1 00:00:00 UTC 2026',
  KBUILD_BUILD_USER: 'sovereign',
  KBUILD_BUILD_HOST: 'sovereign',
  KBUILD_BUILD_VERSION: '1',
} as const;

export interface MakeOptions {
  /** Folder of the source on this machine, bound read-only. */
  source: string;
  /** Folder for everything that is built, on this machine. */
  build: string;
  /** Folder of the compiler cache; without one every object is compiled. */
  ccache?: string | undefined;
  jobs?: number;
  onLine?: (line: string) => void;
  stdio?: 'pipe' | 'inherit';
  /** Environment of `make` beyond the build stamps. */
  env?: Readonly<Record<string, string>>;
  binds?: readonly { source: string; target: string }[];
}

const compiler = (name: string, cached: boolean) => (cached ? `ccache ${name}` : name);

/** The command line of the kernel's make. Pure. */
export function toMakeArgs(targets: readonly string[], cached: boolean, jobs: number): string[] {
  return [
    'make',
    `--directory=${SOURCE}`,
    `--jobs=${jobs}`,
    '--no-print-directory',
    `O=${BUILD}`,
    'ARCH=arm64',
    'CROSS_COMPILE=aarch64-linux-gnu-',
    `CC=${compiler('aarch64-linux-gnu-gcc', cached)}`,
    `HOSTCC=${compiler('gcc', cached)}`,
    ...targets,
  ];
}

/** Runs the kernel's make inside the tool root. */
export async function make(
  tools: ToolRunner,
  targets: readonly string[],
  { source, build, ccache, jobs = 1, onLine, stdio, env, binds = [] }: MakeOptions,
): Promise<void> {
  const cached = ccache !== undefined;
  await tools.run(toMakeArgs(targets, cached, jobs), {
    binds: [
      { source, target: SOURCE },
      { source: build, target: BUILD, write: true },
      ...binds,
      ...(cached ? [{ source: ccache, target: CCACHE, write: true }] : []),
    ],
    env: {
      ...buildStamps,
      ...(cached ? ccacheSettings : {}),
      ...env,
    },
    ...(onLine === undefined ? {} : { onLine }),
    ...(stdio === undefined ? {} : { stdio }),
  });
}

/**
 * An object is found again when the compiler and the assembler have the same content, not when all of the tools have:
 * most refreshed tool locks leave them as they were. A compiler's parts come from one build of it, so its driver
 * stands for all.
 */
const ccacheSettings = {
  CCACHE_DIR: CCACHE,
  CCACHE_MAXSIZE: '2G',
  CCACHE_COMPILERCHECK: 'content',
  CCACHE_EXTRAFILES: '/usr/bin/aarch64-linux-gnu-as:/usr/bin/as',
};
