import { text as readAll } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Device, TailnetStatus } from '@sovereign/device';
import { note, SovereignError, step } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import { confirm } from '../ask.ts';
import { announce, deviceLibrary, theService } from '../device.ts';
import { wordOf } from '../services.ts';
import type { Run, Session } from '../session.ts';
import { describeTailnet, guide, qrCode } from '../tailnet-text.ts';

/** How long a person has to visit the address of a login, in seconds, where --timeout says nothing. */
const LOGIN = 600;
/** How long the launcher may take to hear that a node is logged in, in seconds. */
const HEAR = 30;
const INTERVAL = 1000;

export const tailnetStatus: Run = async (session) => {
  const { chosen, named } = session;
  const device = await session.devices.pick();
  const states = await device.status(chosen.map(({ definition }) => definition));
  const services = states.map(({ name, tailnet, attention }) => ({
    name,
    tailnet: tailnet ?? null,
    ...(tailnet === undefined || attention === undefined ? {} : { attention }),
  }));
  const lines = services.flatMap(({ name, tailnet, attention }) => [
    `${name.padEnd(12)} ${tailnet === null ? 'not in the tailnet' : describeTailnet(tailnet)}`,
    ...(attention === undefined ? [] : [`${''.padEnd(12)} ! ${attention}`]),
  ]);
  const all = services.every(({ tailnet }) => tailnet?.state === 'running');
  return { json: { device: device.id, services }, text: lines.join('\n'), exit: named && !all ? 3 : 0 };
};

export const tailnetLogin: Run = async (session) => {
  const service = theService(session);
  const word = wordOf(service);
  const device = await session.devices.pick();
  const what = `log ${word} on ${device.id} in to the tailnet`;
  if (session.flags.dryRun === true) return { json: { plan: [what] }, text: what };
  const key = await keyOf(session);
  announce(device);
  const before = await stateOf(device, service);
  const again = (await deviceLibrary()).endsSoon(before);
  if (key === undefined && before.state !== 'running') {
    for (const line of guide([service], (await device.tailnet.settings()) ?? {})) note(line);
  }
  const begun = await step(`ask for a login of ${word}`, () =>
    device.tailnet.login(service.definition, { key, again }),
  );
  if (begun !== undefined) showAddress(session, begun.url);
  const seconds = begun === undefined ? HEAR : (session.flags.timeout ?? LOGIN);
  const tailnet = await step(`wait for ${word} in the tailnet`, () =>
    joined(session, device, service, seconds, again ? before.expires : undefined),
  );
  await device.tailnet.settle([service.definition]);
  return {
    json: { device: device.id, service: service.definition.name, tailnet },
    text: `${word} is logged in: ${describeTailnet(tailnet)}`,
  };
};

/** The key from the file that --key names, or from standard input. */
async function keyOf({ own, streams }: Session): Promise<string | undefined> {
  if (typeof own.key !== 'string') return undefined;
  const { checkKey, readTailnetKey } = await deviceLibrary();
  return own.key === '-' ? checkKey(await readAll(streams.in), 'standard input') : readTailnetKey(own.key);
}

function showAddress({ streams, flags }: Session, url: string): void {
  note(`visit this address, from any device, to log the node in: ${url}`);
  if (streams.err.isTTY && !flags.quiet) streams.err.write(qrCode(url));
}

/**
 * Waits until the node is logged in.
 * @param old the end of a key that is renewed: the node runs with it until the new one is there
 * @throws SovereignError `tailnet-not-joined` when the time is over
 */
async function joined(
  { signal }: Session,
  device: Device,
  service: FoundService,
  seconds: number,
  old: string | null | undefined,
): Promise<TailnetStatus> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const tailnet = await stateOf(device, service);
    if (tailnet.state === 'running' && (old === undefined || tailnet.expires !== old)) return tailnet;
    if (performance.now() > end) {
      throw new SovereignError({
        code: 'tailnet-not-joined',
        what: `not in the tailnet after ${seconds} s: ${describeTailnet(tailnet)}`,
        on: `${wordOf(service)} on ${device.id}`,
        hint: 'Visit the address and approve the node; the guest goes on waiting, and `sovereign tailnet status` tells when it is in',
      });
    }
    await sleep(INTERVAL, undefined, { signal });
  }
}

async function stateOf(device: Device, { definition }: FoundService): Promise<TailnetStatus> {
  const [status] = await device.status([definition]);
  return status?.tailnet ?? { state: 'off' };
}

export const tailnetLogout: Run = async (session) => {
  const service = theService(session);
  const word = wordOf(service);
  const device = await session.devices.pick();
  const what = `log ${word} on ${device.id} out of the tailnet: your other devices reach it there no longer`;
  if (session.flags.dryRun === true) return { json: { plan: [what] }, text: what };
  announce(device);
  await confirm(session, what, 'tailnet logout');
  const { name } = await stateOf(device, service);
  await step(`log ${word} out of the tailnet`, () => device.tailnet.logout(service.definition));
  return {
    json: { device: device.id, service: service.definition.name, loggedOut: name ?? null },
    text: `${word} is logged out; ./sovereign tailnet login ${word} brings it back`,
  };
};

export const tailnetRename: Run = async (session) => {
  const service = theService(session);
  const [hostname = ''] = session.words;
  const device = await session.devices.pick();
  const what = `name ${wordOf(service)} on ${device.id} ${hostname} in the tailnet`;
  if (session.flags.dryRun === true) return { json: { plan: [what] }, text: what };
  announce(device);
  await step(what, () => device.tailnet.rename(service.definition, hostname));
  return {
    json: { device: device.id, service: service.definition.name, hostname },
    text: `${wordOf(service)} is ${hostname} from now on; where another node has that name, the tailnet adds a number`,
  };
};
