import { note, SovereignError } from '@sovereign/report';
import { settingValues, type ServiceDefinition } from '@sovereign/service';
import { archiveOf, configPath, withSettings } from './config-disk.ts';
import type { Applied, SshTarget } from './contract.ts';
import { refreshOwnDatabases } from './databases.ts';
import { deliveredSecrets } from './delivered.ts';
import { askAgent } from './device-report.ts';
import { deviceSettings } from './device-settings.ts';
import type { Host } from './host.ts';
import { serviceSecrets } from './secrets.ts';
import { execInGuest, type ExecResult } from './ssh.ts';

/** The guest's end (docs/formats.md, "A new config disk"). */
const SCRIPT = '/usr/lib/sovereign/reconfigure';
/** A shell's status for a program that is not there. */
const NOT_FOUND = 127;
/** What a guest may take, in milliseconds; a service that restarts for it is in there. */
const TIMEOUT = 180_000;

/** How the guest of a service is reached. */
export interface GuestAccess {
  ssh: (service: Pick<ServiceDefinition, 'name'>) => Promise<SshTarget>;
  /** Stops it, starts it anew and waits for its health; without it a guest that cannot take settings keeps its own. */
  restart?: (service: ServiceDefinition) => Promise<void>;
}

/**
 * Writes the secrets and settings that hold now to the service's config disk.
 * @returns the disk; undefined where the service has none
 */
export async function refreshConfigDisk(
  host: Host,
  deviceId: string,
  definition: ServiceDefinition,
): Promise<Buffer | undefined> {
  const { name: service } = definition;
  const before = await host.read(configPath(service));
  if (before === undefined) return undefined;
  const [secrets, { services }] = await Promise.all([
    serviceSecrets(deviceId, definition),
    deviceSettings(deviceId),
  ]);
  const values = settingValues(definition, services[service]);
  const delivered = deliveredSecrets(definition, secrets);
  const disk = await withSettings(before, { service, secrets: delivered, values });
  if (!disk.equals(before)) await host.write(configPath(service), disk, 0o600);
  return disk;
}

/**
 * The disk first, then the guest: one that starts in between has what is new. A service that it has a database on takes
 * the new password before it does. The device's lock is held.
 */
export async function applySettings(
  host: Host,
  deviceId: string,
  definition: ServiceDefinition,
  guest: GuestAccess,
): Promise<Applied> {
  const disk = await refreshConfigDisk(host, deviceId, definition);
  if (disk === undefined) return 'not-deployed';
  const running = await askAgent(host);
  for (const [provider, its] of await refreshOwnDatabases(host, deviceId, definition)) {
    if (running.get(provider)?.pid === undefined) continue;
    const { status, stderr } = await take(guest, provider, its);
    if (status !== 0) throw notApplied(provider, host, stderr);
  }
  if (running.get(definition.name)?.pid === undefined) return 'next-start';
  const { status, stdout, stderr } = await take(guest, definition.name, disk);
  if (status === 0 && stdout.endsWith('applied\n')) return 'live';
  if (status === NOT_FOUND) {
    if (guest.restart === undefined) return 'next-start';
    note(`the release of ${definition.name} takes settings at a start only: it is restarted`);
    await guest.restart(definition);
    return 'restarted';
  }
  throw notApplied(definition.name, host, stderr);
}

/** A guest that runs is sent its disk. */
const take = async (guest: GuestAccess, name: string, disk: Buffer): Promise<ExecResult> =>
  execInGuest(await guest.ssh({ name }), [SCRIPT], {
    input: archiveOf(disk),
    signal: AbortSignal.timeout(TIMEOUT),
  });

function notApplied(service: string, host: Host, stderr: string): SovereignError {
  const said = stderr.trim().split('\n').at(-1) ?? '';
  return new SovereignError({
    code: 'not-applied',
    what: `the guest did not take the new settings${said === '' ? '' : `: ${said}`}`,
    on: `${service} on ${host.id}`,
    hint: `sovereign logs ${service} tells more; a restart takes them too: sovereign restart ${service}`,
  });
}
