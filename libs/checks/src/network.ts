import { fail, pass, skip, type Check, type CheckContext } from './contract.ts';

/** KEY VALUE lines of the settings that this boot read from the config disk. */
export async function settings({ guest }: CheckContext): Promise<[key: string, value: string][]> {
  const { status, stdout, stderr } = await guest.exec(['cat', '/run/sovereign/config/guest.conf']);
  if (status !== 0) throw new Error(`the guest has no settings: ${stderr.trim()}`);
  return stdout
    .trim()
    .split('\n')
    .map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]);
}

const address: Check = {
  name: 'network.address',
  async run(context) {
    const wanted = (await settings(context))
      .map(([key, value]) => ({ device: /^(eth\d+)-address$/.exec(key)?.[1], value }))
      .filter(({ device }) => device !== undefined);
    if (wanted.length === 0) return fail('the settings name no address');
    wanted.unshift({ device: 'lo', value: '127.0.0.1/8' });
    const { stdout } = await context.guest.exec(['ip', '-o', 'address', 'show', 'up']);
    const missing = wanted.filter(
      ({ device, value }) =>
        !stdout
          .split('\n')
          .some((line) => line.includes(` ${device ?? ''} `) && line.includes(` inet ${value} `)),
    );
    const list = (items: typeof wanted) =>
      items.map(({ device, value }) => `${value} on ${device ?? ''}`).join(', ');
    return missing.length === 0 ? pass(list(wanted)) : fail(`not set or not up: ${list(missing)}`);
  },
};

const route: Check = {
  name: 'network.route',
  async run(context) {
    const gateway = (await settings(context)).find(([key]) => key.endsWith('-gateway'))?.[1];
    if (gateway === undefined) return fail('the settings name no gateway');
    const { stdout } = await context.guest.exec(['ip', 'route', 'show', 'default']);
    if (!stdout.includes(`via ${gateway} `))
      return fail(`no default route by ${gateway}: ${stdout.trim() || 'none'}`);
    const ping = await context.guest.exec(['ping', '-c', '1', '-W', '10', gateway]);
    return ping.status === 0
      ? pass(`default by ${gateway}, which answers`)
      : fail(`default by ${gateway}, which does not answer`);
  },
};

/**
 * The guest resolves a name that the workstation's own name server has just resolved. Skipped only where that one
 * knows none of the names either.
 */
const lookup: Check = {
  name: 'network.lookup',
  async run({ guest, resolve, lookupNames }) {
    const name = await firstResolved(lookupNames, resolve);
    if (name === undefined) return skip(`this machine resolves none of ${lookupNames.join(', ')} either`);
    const { status, stdout, stderr } = await guest.exec(['nslookup', name]);
    const found = /^Name:[\s\S]*?^Address(?: \d+)?:\s*(\S+)/m.exec(stdout)?.[1];
    return status === 0 && found !== undefined
      ? pass(`${name} is ${found}`)
      : fail(`${name} is not resolved in the guest: ${lastLine(`${stdout}\n${stderr}`)}`);
  },
};

async function firstResolved(
  names: readonly string[],
  resolve: CheckContext['resolve'],
): Promise<string | undefined> {
  for (const name of names) {
    const addresses = await resolve(name).catch(() => []);
    if (addresses.length > 0) return name;
  }
  return undefined;
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

export const networkChecks: readonly Check[] = [address, route, lookup];
