import { SovereignError } from '@sovereign/report';
import { dataFormat, type Release, type ServiceDefinition } from '@sovereign/service';
import { lastLine, runAgent } from './agent.ts';
import type { Host } from './host.ts';
import type { DiskSpace } from './provisioning.ts';
import type { Slots } from './slots.ts';

/** Putting a disk in its place again is a rename; what may take time is the lock, in milliseconds. */
const SETTLE_TIMEOUT = 60_000;

/**
 * Bytes that the launcher needs for the copy of the data that this release is tried on; 0 where it is tried on the data
 * itself. A phone's `cp` fills the holes of a thin disk.
 */
export function copyForTrial(
  { kind }: Pick<Host, 'kind'>,
  definition: ServiceDefinition,
  { current, releases }: Slots,
  release: Release,
  disk: DiskSpace | undefined,
): number {
  const now = current === undefined ? undefined : releases[current];
  if (now === undefined || dataFormat(definition, now) === dataFormat(definition, release)) return 0;
  if (disk === undefined) return 0;
  return kind === 'adb' ? Math.max(disk.size, disk.taken) : disk.taken;
}

/**
 * Before anybody but the launcher changes the disk of a service, or which slot is current: a copy that a trial left is
 * taken away, and the disk from before is in its place. The service is stopped, or runs without a trial.
 * @throws SovereignError `on-trial`
 */
export async function settleTrialData(host: Host, { name }: ServiceDefinition): Promise<void> {
  const left = async () => (await host.list(`services/${name}`)).includes('trial-data');
  if (!(await left())) return;
  const { stderr } = await runAgent(host, 'settle', [name], SETTLE_TIMEOUT);
  if (await left()) throw onTrial(host, name, lastLine(stderr));
}

export const onTrial = (host: Host, service: string, why = ''): SovereignError =>
  new SovereignError({
    code: 'on-trial',
    what: `a release is on trial: its data is not replaced meanwhile${why === '' ? '' : ` (${why})`}`,
    on: `${service} on ${host.id}`,
    hint: `Wait until sovereign status ${service} shows that it is current, or run sovereign rollback ${service}`,
  });
