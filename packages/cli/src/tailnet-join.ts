import { setTimeout as sleep } from 'node:timers/promises';
import type { Device, ServiceStatus, TailnetStatus } from '@sovereign/device';
import { note, step, toSovereignError } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import { startAndWait, stopOne } from './commands/lifecycle.ts';
import { deviceLibrary } from './device.ts';
import { wordOf } from './services.ts';
import type { Session } from './session.ts';
import { guide } from './tailnet-text.ts';

/** How long `up` waits for a node, in seconds: its exit status is that of the service's health in any case. */
const WAIT = 20;
/** A login with a key begins as one that is needed; after so many seconds nothing has begun. */
const PATIENCE = 5;
const INTERVAL = 1000;
/** States that nothing ends by itself. */
const STAYS: readonly TailnetStatus['state'][] = [
  'running',
  'refused',
  'logged-out',
  'needs-approval',
  'stopped',
];

/** What was known of the services before `up` changed anything. */
export type Before = ReadonlyMap<string, Pick<ServiceStatus, 'pid'>>;

/**
 * After a deploy and a start: makes machines that run with other settings start again, hands a new key to a guest that
 * waits for one, waits a moment for nodes, and says what is missing.
 */
export async function joinTailnet(
  session: Session,
  device: Device,
  services: readonly FoundService[],
  before: Before,
  key: string | undefined,
): Promise<void> {
  const { wantsTailnet } = await deviceLibrary();
  const wanting = services.filter(({ definition }) => wantsTailnet(definition));
  if (wanting.length === 0) return;
  const settings = await device.tailnet.settings();
  const lost: FoundService[] = [];
  for (const service of wanting) {
    const fresh = await refreshed(session, device, service, before, settings !== undefined);
    if (settings === undefined) continue;
    let state = await waitFor(session, device, service);
    // A guest that was started just now has the key on its disk.
    if (key !== undefined && !fresh && ['needs-login', 'expired', 'refused', 'logged-out'].includes(state)) {
      await step(`log ${wordOf(service)} in to the tailnet`, () =>
        device.tailnet.login(service.definition, { key }),
      ).catch((thrown: unknown) => note(toSovereignError(thrown).what));
      state = await waitFor(session, device, service);
    }
    if (state === 'needs-login' || state === 'expired') lost.push(service);
  }
  if (settings === undefined) return;
  await device.tailnet.settle(wanting.map(({ definition }) => definition));
  if (lost.length > 0) for (const line of guide(lost, settings)) note(line);
}

/**
 * Restarts a machine that was started before the tailnet was switched on or off.
 * @returns whether it was started with the settings of now
 */
async function refreshed(
  session: Session,
  device: Device,
  service: FoundService,
  before: Before,
  on: boolean,
): Promise<boolean> {
  const { pid, tailnet } = await ask(device, service);
  if (pid === null || pid !== before.get(service.definition.name)?.pid) return true;
  const stale = on ? tailnet?.state === 'off' || tailnet?.state === 'unknown' : tailnet !== undefined;
  if (!stale) return false;
  note(`${wordOf(service)} is restarted: the tailnet was switched ${on ? 'on' : 'off'}`);
  await stopOne(session, device, service);
  await startAndWait(session, device, service);
  return true;
}

const waitFor = (session: Session, device: Device, service: FoundService): Promise<TailnetStatus['state']> =>
  step(`wait for ${wordOf(service)} in the tailnet`, async (handle) => {
    const { state } = await settled(session, device, service);
    handle.detail(state);
    return state;
  });

async function ask(device: Device, { definition }: FoundService): Promise<Partial<ServiceStatus>> {
  const [status] = await device.status([definition]);
  return status ?? {};
}

/**
 * The state of a node, once it is one that stays, or when the wait is over.
 * @param wait in seconds
 */
export async function settled(
  session: Session,
  device: Device,
  service: FoundService,
  wait = WAIT,
): Promise<TailnetStatus> {
  const begin = performance.now();
  for (;;) {
    const { tailnet = { state: 'unknown' } } = await ask(device, service);
    const seconds = (performance.now() - begin) / 1000;
    const { state } = tailnet;
    const stays = STAYS.includes(state);
    const waits = state === 'needs-login' || state === 'expired';
    if (stays || seconds > wait || (waits && seconds > PATIENCE)) return tailnet;
    await sleep(INTERVAL, undefined, { signal: session.signal });
  }
}
