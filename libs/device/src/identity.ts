import { randomUUID } from 'node:crypto';
import { SovereignError } from '@sovereign/report';
import { canonicalJson } from '@sovereign/store';
import { z } from 'zod';
import type { Host } from './host.ts';

const FILE = 'device.json';

const identitySchema = z.object({ schema: z.literal(1), id: z.uuid() });
export type Identity = z.output<typeof identitySchema>;

/** Who this device is, undefined before its first deploy. Its own id, since a serial changes with the cable. */
export async function readIdentity(host: Host): Promise<Identity | undefined> {
  const text = await host.read(FILE);
  if (text === undefined) return undefined;
  return parseIdentity(text.toString(), host);
}

/** Gives the device an id where it has none. */
export async function ensureIdentity(host: Host): Promise<Identity> {
  const known = await readIdentity(host);
  if (known !== undefined) return known;
  const identity: Identity = { schema: 1, id: randomUUID() };
  await host.write(FILE, canonicalJson(identity));
  return identity;
}

/** @throws SovereignError `damaged-identity` */
export function parseIdentity(text: string, host: Host): Identity {
  try {
    return identitySchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new SovereignError({
      code: 'damaged-identity',
      what: 'the file that says which device this is cannot be read',
      on: `${host.id}: ${host.root}/${FILE}`,
      hint: 'Restore it from a backup: the passwords of this device hang on the id in it',
      cause,
    });
  }
}
