import { note, SovereignError, step } from '@sovereign/report';
import { execa } from 'execa';
import { deviceLibrary } from './device.ts';

/** A tool that has to be this machine's own. */
export interface Tool {
  /** For people, with the version that is needed. */
  name: string;
  /** Debian's package. */
  apt: string;
  /** What was found, or undefined where it is missing or too old. */
  find: () => Promise<string | undefined>;
}

/** Absolute path of a program on the search path. */
export const findProgram = async (name: string): Promise<string | undefined> =>
  (await deviceLibrary()).findProgram(name);

const command = (name: string, executable = name, apt = name): Tool => ({
  name,
  apt,
  find: () => findProgram(executable),
});

export const tools = {
  qemu: {
    name: 'QEMU for arm64, 7.2 or newer',
    apt: 'qemu-system-arm',
    find: async () => {
      const { findQemu } = await deviceLibrary();
      return findQemu().then(
        ({ binary }) => binary,
        () => undefined,
      );
    },
  },
  adb: command('adb'),
  ssh: {
    name: 'an SSH client',
    apt: 'openssh-client',
    find: async () => ((await findProgram('ssh-keygen')) === undefined ? undefined : findProgram('ssh')),
  },
} satisfies Record<string, Tool>;

/** What the tests run beside that: the shells of phones and servers, and the linter of shell scripts. */
export const testTools: readonly Tool[] = [
  tools.qemu,
  tools.adb,
  tools.ssh,
  command('mksh'),
  command('dash'),
  command('busybox'),
  command('toybox'),
  command('shellcheck'),
  command('psql', 'psql', 'postgresql-client'),
  command('ip', 'ip', 'iproute2'),
  // The test phone's /data.
  command('mkfs.ext4', 'mkfs.ext4', 'e2fsprogs'),
  // As Android has it.
  command('iptables', 'iptables-legacy', 'iptables'),
  // The routers and the certificates of the tailnet's lab.
  command('nft', 'nft', 'nftables'),
  command('openssl'),
  // The databases that backups of files copy.
  command('sqlite3'),
  // The tools in a container: the tests start an engine of their own.
  command('dockerd', 'dockerd', 'docker.io'),
];

export type Need = keyof typeof tools;

export interface ProvideOptions {
  install: boolean;
  signal: AbortSignal;
  /** How a command is run; tests put a stand-in here. */
  run?: (argv: readonly string[], signal: AbortSignal) => Promise<boolean>;
  root?: boolean;
  find?: (name: string) => Promise<string | undefined>;
}

export const provide = (needs: readonly Need[], options: ProvideOptions): Promise<void> =>
  provideTools(
    needs.map((need) => tools[need]),
    options,
  );

/**
 * Installs what is missing through apt-get, with sudo where needed, saying so in one line.
 * @throws SovereignError `needs-tools` with the exact command, where nothing may or can be installed
 */
export async function provideTools(
  wanted: readonly Tool[],
  { install, signal, run = runCommand, root = process.getuid?.() === 0, find = findProgram }: ProvideOptions,
): Promise<void> {
  const missing = await missingTools(wanted);
  if (missing.length === 0) return;
  const names = missing.map((tool) => tool.name).join(', ');
  const packages = [...new Set(missing.map((tool) => tool.apt))];
  const argv = installCommand(packages, root);
  if ((await find('apt-get')) === undefined) {
    throw missingError(
      names,
      `Install them with your distribution's package manager (on Debian: ${packages.join(', ')})`,
    );
  }
  if (!install) throw missingError(names, `Run: ${argv.join(' ')}`);
  if (!root && (await find('sudo')) === undefined)
    throw missingError(names, `As root, run: ${installCommand(packages, true).join(' ')}`);
  note(`installing what is missing: ${argv.join(' ')}`);
  await step(`install ${packages.join(', ')}`, async () => {
    // A machine that was just made has no package lists yet; one that was not used for long has stale ones.
    if (await run(argv, signal)) return;
    signal.throwIfAborted();
    await run([...(root ? [] : ['sudo']), 'apt-get', 'update'], signal);
    if (!(await run(argv, signal))) throw missingError(names, `Run: ${argv.join(' ')}`);
  });
  const still = await missingTools(wanted);
  if (still.length > 0) {
    const found = still.map((tool) => tool.name).join(', ');
    throw missingError(found, 'This distribution has only older ones; Debian 12 or newer has what is needed');
  }
}

export async function missingTools(wanted: readonly Tool[]): Promise<Tool[]> {
  const found = await Promise.all(wanted.map(async (tool) => ({ tool, path: await tool.find() })));
  return found.filter(({ path }) => path === undefined).map(({ tool }) => tool);
}

const installCommand = (packages: readonly string[], root: boolean): string[] => [
  ...(root ? [] : ['sudo']),
  'apt-get',
  'install',
  '-y',
  '--no-install-recommends',
  ...packages,
];

const missingError = (names: string, hint: string): SovereignError =>
  new SovereignError({ code: 'needs-tools', what: 'a tool is missing', on: names, hint });

/** True where the command ended with 0. sudo may ask for a password on the terminal. */
async function runCommand(argv: readonly string[], signal: AbortSignal): Promise<boolean> {
  const [file = '', ...rest] = argv;
  const { failed } = await execa(file, rest, {
    reject: false,
    cancelSignal: signal,
    stdin: 'inherit',
    stdout: 'ignore',
    stderr: 'ignore',
    env: { DEBIAN_FRONTEND: 'noninteractive' },
  });
  return !failed;
}
