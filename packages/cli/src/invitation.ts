import type { Device } from '@sovereign/device';
import { note, step } from '@sovereign/report';
import { checkSetting, settingValues, type FoundService } from '@sovereign/service';
import { askText, canAsk } from './ask.ts';
import { wordOf } from './services.ts';
import type { Session } from './session.ts';

/** Asks for the address of the owner of each service that invites one, before its first deploy: once. */
export async function askForOwners(
  session: Session,
  device: Device,
  services: readonly FoundService[],
): Promise<void> {
  const inviting = services.filter(({ definition }) => definition.invitation !== undefined);
  if (inviting.length === 0 || !canAsk(session)) return;
  const { services: known } = await device.inventory();
  for (const { definition } of inviting) {
    const { name, title, invitation } = definition;
    if (invitation === undefined || known.includes(name)) continue;
    if ((await device.settings(definition))[invitation.setting] !== undefined) continue;
    const question = `Your mail address, to register at ${title} with (empty: later):`;
    const address = await askText(session, question);
    if (address === '') continue;
    checkSetting(definition, invitation.setting, address);
    await device.changeSettings(definition, { [invitation.setting]: address });
  }
}

/** Invites the owners that are not yet, and gives lines for people: where to register, or how to say who may. */
export async function inviteOwners(device: Device, services: readonly FoundService[]): Promise<string[]> {
  const lines: string[] = [];
  for (const service of services) {
    const { definition } = service;
    const { invitation, title } = definition;
    if (invitation === undefined) continue;
    const word = wordOf(service);
    const own = await device.settings(definition);
    const address = own[invitation.setting];
    if (address === undefined) {
      note(
        `nobody may register at ${title} yet: ./sovereign settings ${word} ${invitation.setting}=ADDRESS, then up`,
      );
      continue;
    }
    if ((await device.invited(definition)) === address) continue;
    const made = await step(`invite ${address} to ${word}`, () => device.invite(definition, address));
    const where = settingValues(definition, own).domain ?? 'its address';
    lines.push(
      made
        ? `${word} has invited ${address}: create the account at ${where}, with that address`
        : `${word} has an account of ${address} already: log in at ${where}`,
    );
  }
  return lines;
}
