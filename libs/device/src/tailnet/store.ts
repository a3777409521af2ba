import { readdir, readFile, rm } from 'node:fs/promises';
import { note, SovereignError } from '@sovereign/report';
import { configDir, unlessMissing, withLock, writeFileAtomic } from '@sovereign/store';
import { changeSettings, deviceSettings } from '../device-settings.ts';
import { deviceConfigDir, makePrivateFolder } from '../secrets.ts';
import { changeTailnet, type TailnetChange } from './change.ts';
import { isOn, sameServer, toDeviceName, type TailnetSettings } from './settings.ts';
import type { TailnetStatus } from './state.ts';

const keyFile = (deviceId: string): string => deviceConfigDir(deviceId, 'tailnet-key');
const caFile = (deviceId: string): string => deviceConfigDir(deviceId, 'tailnet-ca.pem');

/** The auth key that nodes of this device have yet to use. */
export const storedKey = (deviceId: string): Promise<string | undefined> => readOwn(keyFile(deviceId));
/** Certificates in PEM that vouch for the control server. */
export const storedCa = (deviceId: string): Promise<string | undefined> => readOwn(caFile(deviceId));

export const storeKey = (deviceId: string, key: string): Promise<void> =>
  writeOwn(deviceId, keyFile(deviceId), key);
export const storeCa = (deviceId: string, pem: string): Promise<void> =>
  writeOwn(deviceId, caFile(deviceId), pem);

export const forgetKey = (deviceId: string): Promise<void> => rm(keyFile(deviceId), { force: true });

/**
 * Keeps what the owner says of the tailnet on this device, all checked before the first write.
 * @param called what the device calls itself, for its first name
 * @throws SovereignError with exit 2 where it does not go together, or another device has the name
 */
export async function applyTailnet(
  deviceId: string,
  change: TailnetChange,
  called: () => Promise<string>,
): Promise<void> {
  await makePrivateFolder(deviceId);
  // Names are unique on this workstation, so whoever chooses one keeps the others out.
  await withLock(configDir('devices', 'names'), async () => {
    const after = changeTailnet((await deviceSettings(deviceId)).tailnet, change);
    if (after === undefined) return;
    const named = isOn(after) ? { ...after, name: await nameFor(deviceId, after.name, called) } : after;
    if (change.ca === null || named.server === undefined) await rm(caFile(deviceId), { force: true });
    else if (change.ca !== undefined) await storeCa(deviceId, change.ca);
    if (change.key !== undefined) await storeKey(deviceId, change.key);
    if (!change.on) await forgetKey(deviceId);
    await changeSettings(deviceId, () => ({ tailnet: named }));
  });
}

async function nameFor(
  deviceId: string,
  wanted: string | undefined,
  called: () => Promise<string>,
): Promise<string> {
  const taken = new Set((await otherTailnets(deviceId)).map(({ name }) => name));
  if (wanted !== undefined) {
    if (!taken.has(wanted)) return wanted;
    throw nameTaken(wanted);
  }
  const first = toDeviceName(await called());
  let name = first;
  for (let number = 2; taken.has(name); number++) name = `${first.slice(0, 27)}-${number}`;
  return name;
}

async function otherTailnets(deviceId: string): Promise<TailnetSettings[]> {
  const ids = (await readdir(configDir('devices'))).filter((id) => id !== deviceId);
  const settings = await Promise.all(ids.map((id) => deviceSettings(id).catch(() => undefined)));
  return settings.flatMap((each) => each?.tailnet ?? []);
}

/** Keeps a service's own host name. @throws SovereignError `name-taken` with exit 2 */
export async function keepHostname(deviceId: string, service: string, hostname: string): Promise<void> {
  await withLock(configDir('devices', 'names'), async () => {
    const others = (await otherTailnets(deviceId)).flatMap(({ hostnames }) => Object.values(hostnames ?? {}));
    const own = Object.entries((await deviceSettings(deviceId)).tailnet?.hostnames ?? {}).flatMap(
      ([name, used]) => (name === service ? [] : [used]),
    );
    if ([...others, ...own].includes(hostname)) throw nameTaken(hostname);
    await changeSettings(deviceId, ({ tailnet }) => ({
      tailnet: { ...tailnet, hostnames: { ...tailnet?.hostnames, [service]: hostname } },
    }));
  });
}

const nameTaken = (name: string): SovereignError =>
  new SovereignError({
    code: 'name-taken',
    what: 'another device of this workstation has this name in the tailnet',
    on: name,
    hint: 'Choose another one',
    exit: 2,
  });

/** States that say for certain that a node is not logged in. */
const loggedOut: readonly TailnetStatus['state'][] = ['needs-login', 'expired', 'refused', 'logged-out'];

/**
 * Keeps which nodes are logged in, as far as they tell, and forgets the key once none needs it. What tells nothing
 * stays as it was: a machine that is off has its node on its data disk.
 * @param fresh a key was given just now: nodes that do not tell may need it
 */
export async function recordNodes(
  deviceId: string,
  seen: ReadonlyMap<string, TailnetStatus | undefined>,
  { fresh = false } = {},
): Promise<void> {
  const { tailnet } = await changeSettings(deviceId, ({ tailnet: before }) => {
    if (before === undefined) return {};
    const nodes = Object.fromEntries(
      [...new Set([...Object.keys(before.nodes ?? {}), ...seen.keys()])].map((service) => {
        const state = seen.get(service);
        if (state?.state === 'running') return [service, { id: state.id ?? '', name: state.name ?? '' }];
        const lost = fresh || (state !== undefined && loggedOut.includes(state.state));
        return [service, lost ? null : (before.nodes?.[service] ?? null)];
      }),
    );
    // Another key is for all of them, and one that runs was logged in again.
    const out = (before.out ?? []).filter((service) => !fresh && (nodes[service] ?? null) === null);
    return { tailnet: { ...withOut(before, out), nodes } };
  });
  await forgetNeedless(deviceId, tailnet);
}

/** Keeps that a service was logged out by its owner: no key is for it until one is given anew. */
export async function recordLogout(deviceId: string, service: string): Promise<void> {
  const { tailnet } = await changeSettings(deviceId, ({ tailnet: before }) => ({
    tailnet: {
      ...before,
      nodes: { ...before?.nodes, [service]: null },
      out: [...new Set([...(before?.out ?? []), service])].sort(),
    },
  }));
  await forgetNeedless(deviceId, tailnet);
}

/**
 * Keeps that the node of a service is on this device now: where it was before, a removal of the service logs it out no
 * more.
 */
export async function nodeMoved(
  to: string,
  service: string,
  node: { id: string; server: string | undefined },
): Promise<void> {
  const others = (await readdir(configDir('devices'))).filter((id) => id !== to);
  for (const id of others) {
    const { tailnet } = await deviceSettings(id).catch(() => ({ tailnet: undefined }));
    if (tailnet?.nodes?.[service]?.id !== node.id || !sameServer(tailnet.server, node.server)) continue;
    await recordLogout(id, service);
  }
}

/** Forgets the key where no service waits for it. */
async function forgetNeedless(deviceId: string, tailnet: TailnetSettings | undefined): Promise<void> {
  if (!isOn(tailnet)) return;
  const waits = ([service, node]: [string, unknown]) =>
    node === null && tailnet.out?.includes(service) !== true;
  if (Object.entries(tailnet.nodes ?? {}).some(waits)) return;
  if ((await storedKey(deviceId)) === undefined) return;
  await forgetKey(deviceId);
  note('no node of this device waits for a login: the auth key is forgotten');
}

/** With these services logged out by their owner; no empty list. */
function withOut(settings: TailnetSettings, out: string[]): TailnetSettings {
  const after = { ...settings, out };
  if (out.length > 0) return after;
  return Object.fromEntries(Object.entries(after).filter(([key]) => key !== 'out'));
}

/** Forgets a service whose data is gone, and with the last one the key that nobody needs then. */
export async function forgetNode(deviceId: string, service: string): Promise<void> {
  if ((await deviceSettings(deviceId)).tailnet === undefined) return;
  const { tailnet } = await changeSettings(deviceId, ({ tailnet: before = {} }) => ({
    tailnet: {
      ...withOut(
        before,
        (before.out ?? []).filter((name) => name !== service),
      ),
      nodes: without(before.nodes, service),
      hostnames: without(before.hostnames, service),
    },
  }));
  if (Object.keys(tailnet?.nodes ?? {}).length === 0) await forgetKey(deviceId);
}

const without = <T>(record: Record<string, T> | undefined, key: string): Record<string, T> =>
  Object.fromEntries(Object.entries(record ?? {}).filter(([name]) => name !== key));

const readOwn = async (path: string): Promise<string | undefined> =>
  (await unlessMissing(() => readFile(path, 'utf8')))?.trim();

async function writeOwn(deviceId: string, path: string, content: string): Promise<void> {
  await makePrivateFolder(deviceId);
  await writeFileAtomic(path, `${content.trim()}\n`, 0o600);
}
