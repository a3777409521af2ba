import { step } from '@sovereign/report';
import { confirm, confirmTyped } from '../ask.ts';
import { announce, theService } from '../device.ts';
import { wordOf } from '../services.ts';
import type { Run, Session } from '../session.ts';

export const remove: Run = async (session) => {
  const service = theService(session);
  const word = wordOf(service);
  const data = session.own.data === true;
  const device = await session.devices.pick();
  const what = `remove ${word} from ${device.id}${data ? ', with all its data' : ', keeping its data'}`;
  if (session.flags.dryRun === true) return { json: { plan: [what] }, text: what };
  announce(device);
  if (data) await confirmData(session, word, device.id);
  else await confirm(session, what, 'remove');
  await step(`remove ${word}`, () => device.remove(service.definition, { data }));
  const text = `${word} is removed from ${device.id}; ${data ? 'its data is gone' : 'its data stays'}`;
  return { json: { device: device.id, removed: service.definition.name, data }, text };
};

/** Data goes only by its own flag, and when the name of the service is typed, or --yes stands beside that flag. */
const confirmData = (session: Session, word: string, device: string): Promise<void> =>
  confirmTyped(session, {
    text: `All data of ${word} on ${device} will be gone for good.`,
    word,
    command: 'remove',
    refused: 'removing data was not confirmed',
  });
