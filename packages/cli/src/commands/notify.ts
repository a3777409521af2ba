import type { NotifyKind } from '@sovereign/device';
import { SovereignError, step } from '@sovereign/report';
import { askSecret } from '../ask.ts';
import { announce, deviceLibrary } from '../device.ts';
import type { Result, Run } from '../session.ts';

/** Shows or changes who is told by the device itself. The address is a secret: it is no word of the command line. */
export const notify: Run = async (session) => {
  const [word] = session.words;
  const kind = (await deviceLibrary()).notifyKinds.find((known) => known === word);
  if (word !== undefined && word !== 'off' && kind === undefined) {
    throw new SovereignError({
      code: 'usage',
      what: 'a message goes to ntfy, to a webhook or to the screen of the phone, and off ends it',
      on: word,
      hint: 'The address is asked for, or read from standard input',
      exit: 2,
    });
  }
  const device = await session.devices.pick();
  if (word === undefined) return said(device.id, (await device.notify.kind()) ?? null);
  if (session.flags.dryRun === true) {
    const line = kind === undefined ? `tell nobody of ${device.id}` : `tell ${kind} of ${device.id}`;
    return { json: { plan: [line] }, text: line };
  }
  announce(device);
  if (kind === undefined) {
    await device.notify.off();
    return said(device.id, null);
  }
  const address = kind === 'phone' ? undefined : await askSecret(session, `address of ${kind}`);
  const begins = await step('notify', () => device.notify.set(kind, address));
  return said(device.id, kind, begins);
};

const told: Record<NotifyKind, string> = {
  ntfy: 'ntfy is told',
  webhook: 'webhook is told',
  phone: 'the phone shows it',
};

function said(device: string, kind: NotifyKind | null, begins?: 'now' | 'next-deploy'): Result {
  const who = kind === null ? 'nobody is told' : `${told[kind]} when something needs attention`;
  const when = begins === 'next-deploy' ? ', from the next sovereign up or deploy on' : '';
  return { json: { device, kind, ...(begins === undefined ? {} : { begins }) }, text: who + when };
}
