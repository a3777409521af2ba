import { Forwards } from './forward.ts';
import { AdbHost, PHONE_ROOT } from './host.ts';
import { stateError } from './errors.ts';
import type { Attached } from './servers.ts';
import { AdbShell, type PhoneShell } from './shell.ts';

/** A phone that is attached, as host. One that is in no state to be used says so at its first use. */
export function phoneHost({ serial, state, server }: Attached): AdbHost {
  const unusable: PhoneShell = { start: () => Promise.reject(stateError(serial, state)) };
  const shell = state === 'device' || state === 'emulator' ? new AdbShell(server, serial) : unusable;
  const forwards = new Forwards(server, serial);
  return new AdbHost({ serial, shell, forward: (port) => forwards.open(port), root: PHONE_ROOT });
}
