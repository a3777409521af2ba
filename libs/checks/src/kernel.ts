import { fail, pass, type Check, type CheckContext, type Guest } from './contract.ts';
import { shmgetScript } from './shmget-probe.ts';

/** Symbols that every guest cannot do without; a service adds its own. */
export const guestSymbols = [
  'CONFIG_SYSVIPC',
  'CONFIG_POSIX_MQUEUE',
  'CONFIG_TUN',
  'CONFIG_VSOCKETS',
  'CONFIG_VIRTIO_VSOCKETS',
  'CONFIG_NF_TABLES',
  'CONFIG_NF_TABLES_INET',
  'CONFIG_NFT_NAT',
  'CONFIG_IP_MULTIPLE_TABLES',
  'CONFIG_EROFS_FS',
  'CONFIG_EXT4_FS',
];

/** One check a symbol, against the configuration that the running kernel carries. */
export function kernelChecks(extra: readonly string[]): Check[] {
  const configuration = onceEachRun(readConfiguration);
  return [...new Set([...guestSymbols, ...extra])].map((symbol) => ({
    name: `kernel.${symbol.replace(/^CONFIG_/, '').toLowerCase()}`,
    async run(context) {
      const value = (await configuration(context)).get(symbol);
      if (value !== 'y') return fail(`/proc/config.gz: ${symbol} is ${value ?? 'not set'}, has to be y`);
      return symbol === 'CONFIG_SYSVIPC' ? sharedMemory(context.guest) : pass(`/proc/config.gz: ${symbol}=y`);
    },
  }));
}

/** The configuration says what was built; the system call itself says what is. */
async function sharedMemory(guest: Guest): Promise<ReturnType<typeof pass>> {
  const { status, stderr } = await guest.exec(['sh', '-c', shmgetScript()]);
  if (status === 0) return pass('CONFIG_SYSVIPC=y, and shmget gives a segment');
  const why = status === 38 ? 'ENOSYS: the kernel has no such call' : `exit ${status} ${stderr.trim()}`;
  return fail(`CONFIG_SYSVIPC=y, but shmget fails (${why.trim()})`);
}

async function readConfiguration({ guest }: CheckContext): Promise<Map<string, string>> {
  const { status, stdout, stderr } = await guest.exec(['zcat', '/proc/config.gz']);
  if (status !== 0) throw new Error(`/proc/config.gz cannot be read: ${stderr.trim()}`);
  return new Map(
    stdout
      .split('\n')
      .map((line) => /^(CONFIG_\w+)=(.*)$/.exec(line))
      .filter((match) => match !== null)
      .map((match): [string, string] => [match[1] ?? '', match[2] ?? '']),
  );
}

/** Asks once for all checks of one run: each answer costs a login. */
export function onceEachRun<T>(
  ask: (context: CheckContext) => Promise<T>,
): (context: CheckContext) => Promise<T> {
  const answers = new WeakMap<CheckContext, Promise<T>>();
  return (context) => {
    const answer = answers.get(context) ?? ask(context);
    answers.set(context, answer);
    return answer;
  };
}
