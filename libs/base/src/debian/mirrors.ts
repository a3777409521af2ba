import { SovereignError } from '@sovereign/report';
import { execa } from 'execa';

/** Debian's archives by the name that locks use, each with the addresses to try in order. */
export type DebianMirrors = Record<string, string[]>;

const archives = ['debian', 'debian-security'] as const;

/**
 * Where Debian's archives are: SOVEREIGN_DEBIAN_MIRROR (the address of the `debian` archive; `debian-security` is
 * taken to lie beside it), else the machine's apt sources, and of them the address alone. Then, for versions that
 * a mirror dropped, SOVEREIGN_DEBIAN_SNAPSHOT in the same form.
 * @throws SovereignError `no-mirror` where neither is to be had
 */
export async function debianMirrors(): Promise<DebianMirrors> {
  const named = process.env.SOVEREIGN_DEBIAN_MIRROR;
  const primary = named === undefined || named === '' ? await fromAptSources() : fromSetting(named);
  const old = process.env.SOVEREIGN_DEBIAN_SNAPSHOT;
  if (old === undefined || old === '') return primary;
  const snapshot = fromSetting(old);
  return Object.fromEntries(
    archives.map((name) => [name, [...(primary[name] ?? []), ...(snapshot[name] ?? [])]]),
  );
}

/** Names of the hosts that packages are fetched from: they are known to exist, wherever this machine is. */
export async function mirrorHosts(): Promise<string[]> {
  const mirrors = await debianMirrors().catch(() => ({}));
  const addresses = Object.values(mirrors).flat();
  return [...new Set(addresses.map((address) => new URL(address).hostname))];
}

function fromSetting(address: string): DebianMirrors {
  const debian = address.replace(/\/+$/, '');
  if (!/^https?:\/\/\S+$/.test(debian)) {
    throw new SovereignError({
      code: 'bad-setting',
      what: 'a Debian mirror is named by an http or https address',
      on: address,
      hint: 'Name the address of the archive that holds dists/ and pool/',
    });
  }
  return { debian: [debian], 'debian-security': [`${debian}-security`] };
}

async function fromAptSources(): Promise<DebianMirrors> {
  // apt prints its own view of every sources format.
  const { stdout, failed } = await execa('apt-get', ['indextargets', '--format', '$(REPO_URI)'], {
    reject: false,
  });
  const found = failed ? {} : groupByArchive(stdout.split('\n'));
  if (found.debian !== undefined) return found;
  throw new SovereignError({
    code: 'no-mirror',
    what: 'no Debian mirror is known: this machine has no Debian sources for apt',
    hint: 'Set SOVEREIGN_DEBIAN_MIRROR to the address of a Debian archive (docs/use.md, "Mirrors")',
  });
}

/** Sorts addresses by the archive they end in; others, of private repositories, are ignored. */
export function groupByArchive(addresses: readonly string[]): DebianMirrors {
  const result: DebianMirrors = {};
  for (const address of new Set(addresses.map((line) => line.trim().replace(/\/+$/, '')))) {
    const archive = archives.find((name) => address.endsWith(`/${name}`));
    if (archive !== undefined && /^https?:/.test(address)) (result[archive] ??= []).push(address);
  }
  return result;
}
