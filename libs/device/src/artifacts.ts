import { stat } from 'node:fs/promises';
import { note, step, SovereignError } from '@sovereign/report';
import type { Host } from './host.ts';
import { readSlots } from './slots.ts';
import { MIB } from './units.ts';

/** Space left free for logs and small files, in bytes, where the launcher keeps no more in reserve. */
const RESERVE = 64 * MIB;

export const storePath = (sha256: string): string => `store/${sha256}`;

export interface Artifact {
  /** For messages: `kernel`. */
  name: string;
  sha256: string;
  /** Path on this workstation. */
  file: string;
}

/**
 * Brings artifacts into the device's store. What is there is not sent again; what is there and damaged is.
 * @returns the bytes that were sent
 * @throws SovereignError `no-space` before the first byte
 */
export async function putArtifacts(
  host: Host,
  artifacts: readonly Artifact[],
  extra: number,
): Promise<number> {
  const missing: (Artifact & { size: number })[] = [];
  const stored = await host.digests(artifacts.map(({ sha256 }) => storePath(sha256)));
  for (const artifact of artifacts) {
    const there = stored.get(storePath(artifact.sha256));
    if (there === artifact.sha256) continue;
    if (there !== undefined)
      note(`the ${artifact.name} in the store of ${host.id} is damaged: sending it again`);
    missing.push({ ...artifact, size: (await stat(artifact.file)).size });
  }
  const total = missing.reduce((sum, { size }) => sum + size, 0);
  await requireSpace(host, total + extra, missing);
  if (missing.length === 0) return 0;
  let bytes = 0;
  await step(`send ${missing.map(({ name }) => name).join(', ')} to ${host.id}`, async (work) => {
    let sent = 0;
    const began = performance.now();
    for (const { file, sha256 } of missing) {
      bytes += await host.put(file, storePath(sha256), sha256, (count) => {
        sent += count;
        work.progress(sent, total, 'bytes');
      });
    }
    const megabytes = bytes / 1e6;
    const perSecond = (megabytes * 1000) / (performance.now() - began);
    work.detail(`${megabytes.toFixed(1)} MB, ${perSecond.toFixed(1)} MB/s`);
  });
  return bytes;
}

/**
 * Below its reserve the launcher stops services: nothing that we write must be what brings the device there.
 * @param missing what a transfer that was interrupted may have brought in part
 * @throws SovereignError `no-space`
 */
export async function requireSpace(
  host: Host,
  needed: number,
  missing: readonly Artifact[] = [],
): Promise<void> {
  if (needed === 0) return;
  const free = await host.freeSpace();
  const reserve = Math.max(RESERVE, (await host.settings()).reserve * MIB);
  if (free >= needed + reserve || free + (await begun(host, missing)) >= needed + reserve) return;
  const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  throw new SovereignError({
    code: 'no-space',
    what: `${mebibytes(needed + reserve)} are needed, ${mebibytes(free)} are free`,
    on: `${host.id}: ${host.root}`,
    hint: 'Free some space and run the command again',
  });
}

/** Bytes of what is missing that an interrupted transfer brought already. */
async function begun(host: Host, missing: readonly Artifact[]): Promise<number> {
  const script =
    'cd "$1/store" 2>/dev/null || exit 0; shift; for part; do [ ! -f "$part" ] || stat -c %s "$part"; done';
  const parts = missing.map(({ sha256 }) => `${sha256}.part`);
  const { stdout } = await host.sh(script, [host.root, ...parts], { readOnly: true });
  return stdout.split('\n').reduce((sum, size) => sum + Number(size), 0);
}

/** Removes what neither a slot of any service nor the device itself names, and what an interrupted transfer left. */
export async function pruneStore(host: Host): Promise<void> {
  // The network program that runs now is the one of the last deploy, whose release may have been taken back since.
  const conf = (await host.read('device.conf'))?.toString() ?? '';
  const named = new Set<string>(/^gvproxy (\w+)$/m.exec(conf)?.slice(1));
  // The one that the device goes back to (docs/formats.md, "Network plan").
  const good = (await host.read('net/good'))?.toString().trim();
  if (good !== undefined) named.add(good);
  const agents = new Set<string>();
  for (const service of await host.list('services')) {
    for (const release of Object.values((await readSlots(host, service)).releases)) {
      for (const digest of [release.kernel.sha256, release.root.sha256, release.agent.sha256])
        named.add(digest);
      for (const { sha256 } of Object.values(release.network?.gvproxy ?? {})) named.add(sha256);
      agents.add(release.agent.sha256);
    }
  }
  for (const file of await host.list('store')) if (!named.has(file)) await host.remove(storePath(file));
  // Without a service nobody needs a launcher.
  const kept = agents.size === 0 ? [] : ['current', 'good', ...agents, ...(await agentsInUse(host))];
  for (const name of await host.list('agent')) if (!kept.includes(name)) await host.remove(`agent/${name}`);
}

/** Launchers that are chosen, that run, or that a running one may go back to (docs/formats.md, "Launcher and keeper"). */
async function agentsInUse(host: Host): Promise<string[]> {
  const script =
    'cd "$1" && cat agent/current agent/good keeper/state/before services/*/state/launcher-agent ' +
    'services/*/state/launcher-before 2>/dev/null; true';
  const { stdout } = await host.sh(script, [host.root], { readOnly: true });
  return stdout.match(/\b[0-9a-f]{64}\b/g) ?? [];
}
