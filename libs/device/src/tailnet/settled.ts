import { askAgent, type AgentStatus } from '../device-report.ts';
import { deviceSettings } from '../device-settings.ts';
import type { Host } from '../host.ts';
import type { TailnetSettings } from './settings.ts';
import { parseTailnet, type TailnetStatus } from './state.ts';
import { recordNodes } from './store.ts';

/** What the launcher heard of these services' nodes; undefined where a guest tells nothing. Pure. */
export const toldNodes = (
  agent: ReadonlyMap<string, AgentStatus>,
  services: Iterable<string>,
): Map<string, TailnetStatus | undefined> =>
  new Map(
    [...new Set(services)].map((service) => {
      const told = agent.get(service)?.tailnet;
      return [service, told === undefined ? undefined : parseTailnet(told)];
    }),
  );

/**
 * The settings of a device, its nodes as they are now: one may have been logged in after the last command ended, and
 * what may be changed depends on it.
 */
export async function settledTailnet(
  host: Host,
  deviceId: string | undefined,
): Promise<TailnetSettings | undefined> {
  const { tailnet } = await deviceSettings(deviceId);
  if (deviceId === undefined || tailnet?.nodes === undefined) return tailnet;
  await recordNodes(deviceId, toldNodes(await askAgent(host), Object.keys(tailnet.nodes)));
  return (await deviceSettings(deviceId)).tailnet;
}
