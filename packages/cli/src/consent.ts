import { isIP } from 'node:net';
import type { Device } from '@sovereign/device';
import { note, SovereignError } from '@sovereign/report';
import { canAsk, confirm } from './ask.ts';
import type { NxRun } from './nx.ts';
import type { Session } from './session.ts';

/** What was said for one phone on the command line, as options of the executor. */
export function phoneOptions({ own }: Session): { network?: 'vsock' | 'tap'; dns?: string } {
  const said = (name: string): string | undefined => {
    const value = own[name];
    return typeof value === 'string' ? value : undefined;
  };
  const network = said('network');
  const dns = said('dns');
  if (network !== undefined && network !== 'vsock' && network !== 'tap') {
    throw wrong('there is no such network mode', network, 'vsock or tap');
  }
  if (dns?.split(',').some((address) => isIP(address) === 0) === true) {
    throw wrong('these are no addresses of name servers', dns, 'addresses with commas and no blanks');
  }
  return { ...(network === undefined ? {} : { network }), ...(dns === undefined ? {} : { dns }) };
}

const wrong = (what: string, on: string, wanted: string): SovereignError =>
  new SovereignError({ code: 'usage', what, on, hint: `Wanted: ${wanted}`, exit: 2 });

/**
 * Asks before a phone is changed for the first time, naming all that will be set; tasks of Nx have no terminal to ask
 * on, so the answer goes with them.
 * @returns variables for the tasks
 * @throws SovereignError `not-prepared` with exit 2 where nobody can be asked, `not-confirmed`
 */
export async function consentTo(session: Session, device: Device): Promise<NonNullable<NxRun['env']>> {
  if (device.kind === 'local' || (await device.inventory()).id !== undefined) return {};
  const settings = await device.preparation(phoneOptions(session).network);
  note(
    `${device.id} was never used. This will be set on it, and taken back when its last service is removed:`,
  );
  for (const setting of settings) note(`  ${setting}`);
  if (session.flags.yes !== true && !canAsk(session)) {
    throw new SovereignError({
      code: 'not-prepared',
      what: 'this phone was never used, and is not changed without a yes',
      on: device.id,
      hint: 'Add --yes, or run the command on a terminal',
      exit: 2,
    });
  }
  await confirm(session, `use ${device.id}`, 'up');
  return { SOVEREIGN_CONSENT: device.id };
}
