import { adbForwards } from './forward.ts';
import { AdbHost, PHONE_ROOT } from './host.ts';
import { stateError } from './errors.ts';
import type { Attached } from './servers.ts';
import { AdbShell, type PhoneShell } from './shell.ts';

/** A phone that is attached, as host. One that is in no state to be used says so at its first use. */
export function phoneHost({ serial, state, server }: Attached): AdbHost {
  const unusable: PhoneShell = { start: () => Promise.reject(stateError(serial, state)) };
  const shell = state === 'device' || state === 'emulator' ? new AdbShell(server, serial) : unusable;
  return new AdbHost({ serial, shell, forwards: adbForwards(server, serial), root: PHONE_ROOT });
}
