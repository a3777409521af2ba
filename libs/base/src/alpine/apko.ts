import { execa } from 'execa';
import { SovereignError } from '@sovereign/report';
import { limits } from './apk.ts';

/** The version of apko that all of this was measured with; `tools/apko` builds it. */
export const APKO_VERSION = 'v1.2.30';

export interface ApkoResult {
  /** Undefined where a signal ended it, or it did not start. */
  exitCode: number | undefined;
  stdout: string;
  stderr: string;
  /** The system's code where it did not start, for example `ENOENT`. */
  code?: string | undefined;
  /** Whether it was ended because it took too long. */
  timedOut?: boolean;
}

/** Runs apko in a folder that holds everything it reads and takes everything it writes. */
export type ApkoRunner = (args: readonly string[], folder: string) => Promise<ApkoResult>;

/** Longest that apko may take for one command, in milliseconds: what it does takes seconds, on slow machines a minute. */
export const APKO_DEADLINE = 600_000;

/** apko as a process of this machine. */
export const localApko =
  (program: () => Promise<string>, deadline = APKO_DEADLINE): ApkoRunner =>
  async (args, folder) => {
    const { exitCode, stdout, stderr, code, timedOut } = await execa(await program(), args, {
      cwd: folder,
      // Nothing of the machine's: apko reads proxies, credentials and times from its environment.
      env: { HOME: folder, TMPDIR: folder, PATH: '/usr/bin:/bin', SOURCE_DATE_EPOCH: '0' },
      extendEnv: false,
      stdin: 'ignore',
      reject: false,
      timeout: deadline,
    });
    return { exitCode, stdout, stderr, code, timedOut };
  };

/** Paths are relative to the folder that apko runs in, or absolute. */
export type ApkoCommand =
  | { verb: 'version' }
  /** Says which packages a configuration comes to, in the order of their installation. */
  | { verb: 'solve'; config: string; arch: string }
  /**
   * Unpacks exactly the packages of apko's own lock, writes the root file system into a tar and a record of what it
   * unpacked into a file, and prints the SHA-256 of the tar.
   */
  | { verb: 'unpack'; config: string; arch: string; lock: string; tar: string; record: string };

/** What holds for our own reading holds for apko's. */
const sizeLimits = [
  `--max-index=${limits.index}`,
  `--max-control=${limits.control}`,
  `--max-data=${limits.data}`,
];

/** Words for apko (tools/apko/module/main.go), without the executable. No command lets it reach the network. */
export function toArgs(command: ApkoCommand): string[] {
  switch (command.verb) {
    case 'version':
      return ['version'];
    case 'solve':
      return ['show-packages', `--arch=${command.arch}`, ...sizeLimits, command.config];
    case 'unpack':
      return [
        'unpack',
        `--arch=${command.arch}`,
        `--lock=${command.lock}`,
        ...sizeLimits,
        `--max-files=${limits.files}`,
        command.config,
        command.tar,
        command.record,
      ];
  }
}

/**
 * Runs a command and gives what it printed.
 * @throws SovereignError `apko-failed` with apko's own words after ours, `no-apko` where it does not start
 */
export async function runApko(run: ApkoRunner, command: ApkoCommand, folder: string): Promise<string> {
  const { exitCode, stdout, stderr, code, timedOut } = await run(toArgs(command), folder);
  if (exitCode === 0) return stdout;
  if (timedOut === true) {
    throw new SovereignError({
      code: 'apko-failed',
      what: `apko could not ${deeds[command.verb]}: it did not come to an end and was stopped`,
      hint: 'Run the command again; when it stays so, report it',
    });
  }
  if (exitCode === undefined && code !== undefined) {
    throw new SovereignError({
      code: 'no-apko',
      what: `apko cannot be started: ${code}`,
      hint: 'It is built by itself from its Go module: run the command again, or delete the folder go-programs of the cache',
    });
  }
  throw new SovereignError({
    code: 'apko-failed',
    what: `apko could not ${deeds[command.verb]}: ${ownWords(stderr)}`,
    hint: 'The names of packages are in service.config.ts and packages/guest/packages.ts',
  });
}

const deeds = {
  version: 'tell its version',
  solve: 'find a set of packages',
  unpack: 'unpack the packages',
};

/** The error that apko ended with, without the time and the words that it puts before every error. */
function ownWords(stderr: string): string {
  const lines = stderr.trim().split('\n');
  const at = lines.findIndex((line) => line.includes('error during command execution: '));
  const error = at === -1 ? lines.slice(-3) : lines.slice(at);
  return error
    .join('\n')
    .replace(/^.*error during command execution: /, '')
    .slice(0, 4000);
}

/**
 * Refuses an apko of another version: what it makes may differ.
 * @throws SovereignError `wrong-apko`
 */
export async function checkVersion(run: ApkoRunner, folder: string): Promise<void> {
  const printed = await runApko(run, { verb: 'version' }, folder);
  const version = /^v\S+$/.exec(printed.trim())?.[0] ?? 'of an unknown version';
  if (version === APKO_VERSION) return;
  throw new SovereignError({
    code: 'wrong-apko',
    what: `this is apko ${version}; locks and images are made with ${APKO_VERSION}`,
    hint: 'Name the same version in tools/apko/module/go.mod and libs/base/src/alpine/apko.ts',
  });
}

export interface ApkoConfiguration {
  /** Folders that hold `ARCH/APKINDEX.tar.gz`. Never an address: apko would add keys that it finds on the network. */
  repositories: readonly string[];
  /** Paths of key files. */
  keys: readonly string[];
  packages: readonly string[];
  arch: string;
}

/** apko's configuration file. It is YAML, of which JSON is a part. */
export const configuration = ({ repositories, keys, packages, arch }: ApkoConfiguration): string =>
  JSON.stringify({ contents: { repositories, keyring: keys, packages }, archs: [arch] });

export interface ApkoLockEntry {
  name: string;
  version: string;
  path: string;
  /** As in the index: apko compares it before it unpacks. */
  identity: string;
}

/** apko's lock (pkg/lock/lock.go): of what it knows, the fields that a build reads. */
export const apkoLock = (packages: readonly ApkoLockEntry[], arch: string): string =>
  JSON.stringify({
    version: 'v1',
    contents: {
      keyring: [],
      repositories: [],
      packages: packages.map(({ name, version, path, identity }) => ({
        name,
        version,
        url: path,
        architecture: arch,
        checksum: identity,
      })),
    },
  });
