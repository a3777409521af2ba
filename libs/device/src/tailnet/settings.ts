import { z } from 'zod';

/** A label of DNS (RFC 1123), as names in a tailnet are. */
const label = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'a word of a-z, 0-9 and -');
/** The device's part of a host name: with a service's name of at most 31 characters before it, it is still a label. */
const deviceName = label.max(31);
/** As Tailscale writes them: https://tailscale.com/kb/1068/tags */
const tag = z
  .string()
  .regex(/^tag:[A-Za-z][A-Za-z0-9-]{0,62}$/, 'tag:NAME, the name beginning with a letter');
/** No path: clients ask for /key and /ts2021 below the root. */
const server = z
  .string()
  .regex(/^https?:\/\/[^\s/?#@]+\/?$/, 'an address like https://headscale.example.org');

/** `tailnet` in a device's settings.json: what the owner decided for its nodes. Not there: never switched on. */
export const tailnetSettingsSchema = z.strictObject({
  /** Switched off again; everything else is kept for the next time. */
  off: z.literal(true).optional(),
  /** Address of the control server; Tailscale's own where it is not set. */
  server: server.optional(),
  /** The device's part of its services' host names; chosen when the tailnet is first switched on. */
  name: deviceName.optional(),
  /** Service to host name, where it is not `<service>-<name>`. */
  hostnames: z.record(z.string(), label).optional(),
  /** Tags that nodes ask for. */
  tags: z.array(tag).min(1).optional(),
  /** Services that their owner logged out: the key of the others is not for them. */
  out: z.array(z.string()).optional(),
  /** Service that is to be in the tailnet to its node, as it was when it was last seen logged in; null: it has none. */
  nodes: z.record(z.string(), z.strictObject({ id: z.string(), name: z.string() }).nullable()).optional(),
});

export type TailnetSettings = z.output<typeof tailnetSettingsSchema>;

/** True where the owner wants this device's services in the tailnet. */
export const isOn = (tailnet: TailnetSettings | undefined): tailnet is TailnetSettings =>
  tailnet !== undefined && tailnet.off !== true;

/** Whether two addresses are of one control server; undefined is Tailscale's own. Pure. */
export const sameServer = (one: string | undefined, other: string | undefined): boolean =>
  one?.replace(/\/$/, '') === other?.replace(/\/$/, '');

export const isLabel = (text: string): boolean => label.safeParse(text).success;
export const isDeviceName = (text: string): boolean => deviceName.safeParse(text).success;
export const isTag = (text: string): boolean => tag.safeParse(text).success;
export const isServer = (text: string): boolean => server.safeParse(text).success;

/** The nearest device name to what a machine calls itself: `Pixel 6 Pro` is `pixel-6-pro`. */
export function toDeviceName(text: string): string {
  const name = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 31)
    .replace(/^-+|-+$/g, '');
  return name === '' ? 'device' : name;
}
