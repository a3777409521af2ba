import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { cacheDir } from '@sovereign/store';
import { execa } from 'execa';
import type { LockRequest } from '../contract.ts';
import type { LockedPackage } from '../lock.ts';
import type { DebianMirrors } from './mirrors.ts';

export const SUITE = 'trixie';
const keys = join(import.meta.dirname, '../../keys');

/**
 * Asks apt, in a private root with state and keys of its own, which packages a request comes to. apt checks the
 * signed InRelease files against the keys of this repository and resolves as it would on an empty machine of that
 * architecture; nothing is installed, and no root is needed.
 */
export async function resolve(request: LockRequest, mirrors: DebianMirrors): Promise<LockedPackage[]> {
  await mkdir(cacheDir(), { recursive: true });
  const root = await mkdtemp(join(cacheDir(), 'apt-'));
  // Signed-By is a list that blanks divide, and neither this checkout nor the cache is free of them everywhere.
  const trust = await mkdtemp(join(tmpdir(), 'sovereign-keys-'));
  try {
    await symlink(keys, join(trust, 'keys'));
    await prepareRoot(root, request.arch, sources(mirrors, join(trust, 'keys')));
    const apt = (args: string[]) => runApt(root, args);
    await apt(['update', '-qq']);
    const uris = await apt([
      'install',
      '--print-uris',
      '--yes',
      '-qq',
      '-o',
      'Acquire::ForceHash=SHA256',
      ...request.packages,
    ]);
    const leaveOut = new Set(request.leaveOut);
    return parseUris(uris, mirrors)
      .filter(({ name }) => !leaveOut.has(name))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } finally {
    await rm(root, { recursive: true, force: true });
    await rm(trust, { recursive: true, force: true });
  }
}

async function prepareRoot(root: string, arch: string, sourceList: string): Promise<void> {
  const folders = ['etc/sources.list.d', 'lists/partial', 'cache/archives/partial', 'state'];
  await Promise.all(folders.map((folder) => mkdir(join(root, folder), { recursive: true })));
  await writeFile(join(root, 'state/status'), '');
  await writeFile(join(root, 'etc/sources.list.d/sovereign.sources'), sourceList);
  const dump = await execa('apt-config', ['dump'], { stdin: 'ignore', reject: false });
  await writeFile(
    join(root, 'apt.conf'),
    `${configuration(root, arch)}${machineSettings(dump.failed ? '' : dump.stdout)}`,
  );
}

/**
 * Of the machine's own settings those that say how a mirror is reached and by what clock, as lines of an apt.conf.
 * @param dump what `apt-config dump` prints
 */
export function machineSettings(dump: string): string {
  const wanted =
    /^Acquire::(https?::|Retries |ForceIPv[46] |Check-Valid-Until |Check-Date |Max-FutureTime ).*";$/i;
  return dump
    .split('\n')
    .filter((line) => wanted.test(line))
    .map((line) => `${line}\n`)
    .join('');
}

/**
 * deb822 sources (sources.list(5)): the suite, its updates, and its security updates from their own archive.
 * @param keys folder of the keyrings; its path holds no blank
 */
export function sources(mirrors: DebianMirrors, keys: string): string {
  const stanza = (address: string, suites: string, keyrings: string[]) =>
    [
      'Types: deb',
      `URIs: ${address}`,
      `Suites: ${suites}`,
      'Components: main',
      `Signed-By: ${keyrings.map((name) => join(keys, `debian-archive-trixie-${name}.asc`)).join(' ')}`,
      '',
    ].join('\n');
  const main = mirrors.debian?.[0];
  const security = mirrors['debian-security']?.[0];
  return [
    main === undefined ? '' : stanza(main, `${SUITE} ${SUITE}-updates`, ['automatic', 'stable']),
    security === undefined ? '' : stanza(security, `${SUITE}-security`, ['security-automatic']),
  ].join('\n');
}

/**
 * apt.conf(5). What APT_CONFIG names is read first, so the machine's own files would win: they are not read, and what
 * of them has to be in force is added.
 */
export function configuration(root: string, arch: string): string {
  return [
    `Dir::Etc::main "/dev/null";`,
    `Dir::Etc::parts "/dev/null";`,
    `Dir::Etc::sourcelist "/dev/null";`,
    `Dir::Etc::sourceparts "${root}/etc/sources.list.d";`,
    `Dir::Etc::preferences "/dev/null";`,
    `Dir::Etc::preferencesparts "/dev/null";`,
    `Dir::Etc::trusted "/dev/null";`,
    `Dir::Etc::trustedparts "/dev/null";`,
    `Dir::State "${root}/state";`,
    `Dir::State::status "${root}/state/status";`,
    `Dir::State::lists "${root}/lists";`,
    `Dir::Cache "${root}/cache";`,
    `Dir::Log "${root}/state";`,
    `APT::Architecture "${arch}";`,
    `APT::Architectures { "${arch}"; };`,
    `APT::Install-Recommends "false";`,
    `APT::Get::AllowUnauthenticated "false";`,
    `APT::Sandbox::User "root";`,
    `Acquire::Languages "none";`,
    `Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";`,
    '',
  ].join('\n');
}

async function runApt(root: string, args: string[]): Promise<string> {
  const { exitCode, stdout, stderr, code } = await execa('apt-get', args, {
    env: { APT_CONFIG: join(root, 'apt.conf'), LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive' },
    stdin: 'ignore',
    reject: false,
  });
  if (exitCode === 0) return stdout;
  if (code === 'ENOENT') {
    throw new SovereignError({
      code: 'no-apt',
      what: 'a Debian lock is made by apt-get, which this machine does not have',
      hint: 'Make the lock on a Debian machine; building from a lock needs no apt',
    });
  }
  throw new SovereignError({
    code: 'apt-failed',
    what: `apt-get ${args[0] ?? ''} failed: ${(stderr === '' ? stdout : stderr).trim().split('\n').slice(-3).join(' ')}`,
    hint: 'Check the connection to the Debian mirror and the names of the packages',
  });
}

/** Lines of `apt-get --print-uris`: `'ADDRESS' NAME_VERSION_ARCH.deb SIZE SHA256:DIGEST`. */
export function parseUris(output: string, mirrors: DebianMirrors): LockedPackage[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith("'"))
    .map((line) => {
      const match = /^'([^']+)' (\S+)_(\S+)_[^_]+\.deb (\d+) SHA256:([0-9a-f]{64})$/.exec(line);
      const [, address, name, version, size, sha256] = match ?? [];
      const place = address === undefined ? undefined : placeOf(address, mirrors);
      if (!name || !version || !size || !sha256 || place === undefined) {
        throw new SovereignError({
          code: 'apt-output',
          what: 'apt-get printed a line that is not understood',
          on: line,
          hint: 'Report this with the version of apt',
        });
      }
      return { name, version: decodeURIComponent(version), ...place, size: Number(size), sha256 };
    });
}

function placeOf(address: string, mirrors: DebianMirrors): { archive: string; path: string } | undefined {
  for (const [archive, addresses] of Object.entries(mirrors)) {
    for (const base of addresses) {
      // apt escapes what a URI may not hold bare; the lock keeps the plain path.
      if (address.startsWith(`${base}/`))
        return { archive, path: decodeURIComponent(address.slice(base.length + 1)) };
    }
  }
  return undefined;
}
