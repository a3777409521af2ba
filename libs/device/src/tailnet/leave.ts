import { setTimeout as sleep } from 'node:timers/promises';
import { note, step, toSovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import type { DeviceTailnet } from '../contract.ts';
import { askAgent } from '../device-report.ts';
import { deviceSettings } from '../device-settings.ts';
import type { Host } from '../host.ts';
import { readIdentity } from '../identity.ts';
import type { TailnetSettings } from './settings.ts';
import { MACHINES, parseTailnet } from './state.ts';

/** How long a guest that was started for its logout may take to find its control server, in milliseconds. */
const JOIN_TIMEOUT = 120_000;
const INTERVAL = 1000;

/**
 * Logs a service's node out before its data goes, which is where its key is: a machine that is off is started for it.
 * Where that does not work, the removal goes on, and the owner is told which node stays behind.
 * @param start starts the service
 */
export async function leaveTailnet(
  host: Host,
  service: ServiceDefinition,
  tailnet: Pick<DeviceTailnet, 'logout'>,
  start: () => Promise<void>,
): Promise<void> {
  const { name } = service;
  const identity = await readIdentity(host);
  const settings = (await deviceSettings(identity?.id)).tailnet;
  const node = settings?.nodes?.[name] ?? undefined;
  const agent = (await askAgent(host)).get(name);
  const joined = agent?.tailnet !== undefined && parseTailnet(agent.tailnet).state === 'running';
  if (settings === undefined || agent === undefined || (node === undefined && !joined)) return;
  try {
    await step(`log ${name} out of the tailnet`, async () => {
      if (agent.pid === undefined) await start();
      await waitForNode(host, name);
      await tailnet.logout(service);
    });
    note(`the node ${called(name, node)} is logged out; its entry can be removed ${where(settings)}`);
  } catch (thrown) {
    note(
      `${toSovereignError(thrown).what}: the node ${called(name, node)} stays in the tailnet; remove it ${where(settings)}`,
    );
  }
}

const called = (service: string, node: { id: string; name: string } | undefined): string =>
  node === undefined || node.name === ''
    ? `of ${service}`
    : `${node.name}${node.id === '' ? '' : ` (${node.id})`}`;

const where = ({ server }: TailnetSettings): string =>
  server === undefined ? `at ${MACHINES}` : `on ${server}`;

/** Until the guest tells something that stays; a logout is tried in any case. */
async function waitForNode(host: Host, service: string): Promise<void> {
  const end = performance.now() + JOIN_TIMEOUT;
  while (performance.now() < end) {
    const { tailnet, state } = (await askAgent(host)).get(service) ?? {};
    if (state === 'failed' || state === 'stopped') return;
    if (tailnet !== undefined && parseTailnet(tailnet).state !== 'starting') return;
    await sleep(INTERVAL);
  }
}
