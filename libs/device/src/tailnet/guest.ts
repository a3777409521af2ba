import type { ServiceDefinition } from '@sovereign/service';
import { deviceSettings } from '../device-settings.ts';
import { isOn, type TailnetSettings } from './settings.ts';
import { storedCa, storedKey } from './store.ts';

/** What a guest is told of its tailnet on the config disk (docs/formats.md, "Config disk"). */
export interface GuestTailnet {
  hostname: string;
  server?: string;
  tags?: readonly string[];
  /** Only while the node is not logged in. */
  key?: string;
  /** PEM. */
  ca?: string;
}

/** Path of the auth key on a config disk. */
export const KEY_ON_DISK = 'secrets/tailnet-key';
/** Path of the control server's authority on a config disk. */
export const CA_ON_DISK = 'tailnet/ca.pem';

/** True for a service that the tailnet may reach at some port. */
export const wantsTailnet = ({ ports }: Pick<ServiceDefinition, 'ports'>): boolean =>
  ports.some(({ tailnet }) => tailnet !== undefined);

/** The host name of a service's node. */
export const tailnetHostname = (service: string, { name, hostnames }: TailnetSettings): string =>
  hostnames?.[service] ?? `${service}-${name ?? 'device'}`;

/** What the config disk of this service says; undefined where it is not in the tailnet. */
export async function guestTailnet(
  deviceId: string,
  definition: Pick<ServiceDefinition, 'name' | 'ports'>,
): Promise<GuestTailnet | undefined> {
  const { tailnet } = await deviceSettings(deviceId);
  if (!isOn(tailnet) || !wantsTailnet(definition)) return undefined;
  const { name } = definition;
  const needsKey = (tailnet.nodes?.[name] ?? null) === null && tailnet.out?.includes(name) !== true;
  const [key, ca] = await Promise.all([needsKey ? storedKey(deviceId) : undefined, storedCa(deviceId)]);
  return {
    hostname: tailnetHostname(name, tailnet),
    ...(tailnet.server === undefined ? {} : { server: tailnet.server }),
    ...(tailnet.tags === undefined ? {} : { tags: tailnet.tags }),
    ...(key === undefined ? {} : { key: forLife(key) }),
    ...(ca === undefined || tailnet.server === undefined ? {} : { ca }),
  };
}

/**
 * The secret of an OAuth client makes nodes that vanish when they are offline, unless it says otherwise itself:
 * tailscale.com's feature/oauthkey.
 */
export const forLife = (key: string): string =>
  key.startsWith('tskey-client-') && !key.includes('?') ? `${key}?ephemeral=false&preauthorized=true` : key;
