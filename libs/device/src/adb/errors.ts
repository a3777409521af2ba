import { SovereignError } from '@sovereign/report';

/** What adb says of a device that it cannot use, and what to do about it. */
interface State {
  code: string;
  what: string;
  hint: string;
}

/** By the words of `adb devices`, and of its error messages, in the order in which they are looked for. */
const states: readonly [words: RegExp, State][] = [
  [
    /unauthorized/,
    {
      code: 'adb-unauthorized',
      what: 'the phone does not trust this computer yet',
      hint: 'Unlock the phone and allow USB debugging when it asks. Where it does not ask: switch USB debugging off and on in its developer options, or revoke the authorizations there',
    },
  ],
  [
    /authorizing/,
    {
      code: 'adb-authorizing',
      what: 'the phone is still deciding whether it trusts this computer',
      hint: 'Unlock the phone, allow USB debugging when it asks, and run the command again',
    },
  ],
  [
    /connecting/,
    {
      code: 'adb-connecting',
      what: 'adb is still connecting to the phone',
      hint: 'Run the command again in a few seconds',
    },
  ],
  [
    /offline/,
    {
      code: 'adb-offline',
      what: 'adb sees the phone, and it does not answer',
      hint: 'Unplug the cable and plug it in again; where that does not help, restart adb: adb kill-server',
    },
  ],
  [
    /no permissions|insufficient permissions/,
    {
      code: 'adb-no-permissions',
      what: 'this user may not open the phone’s USB device',
      hint: 'Install the udev rules for phones (Debian: apt-get install android-sdk-platform-tools-common), join the group plugdev, log in again, and plug the phone in again',
    },
  ],
  [
    /recovery/,
    {
      code: 'adb-recovery',
      what: 'the phone is in its recovery system',
      hint: 'Start Android on it: choose "Reboot system now", or run adb reboot',
    },
  ],
  [
    /sideload/,
    {
      code: 'adb-sideload',
      what: 'the phone waits for an update to be sideloaded',
      hint: 'End that on the phone and choose "Reboot system now"',
    },
  ],
  [
    /rescue/,
    {
      code: 'adb-rescue',
      what: 'the phone is in its rescue mode',
      hint: 'End that on the phone and start Android',
    },
  ],
  [
    /bootloader|fastboot/,
    {
      code: 'adb-bootloader',
      what: 'the phone is in its bootloader',
      hint: 'Start Android on it: fastboot reboot',
    },
  ],
  [
    /^host$/,
    {
      code: 'adb-host',
      what: 'this is not a phone: adb says that it is a host',
      hint: 'Choose another one with -s',
    },
  ],
];

const knownState = (words: string): State | undefined => states.find(([known]) => known.test(words))?.[1];

/** The error for a device that adb lists in another state than `device`. */
export function stateError(serial: string, state: string): SovereignError {
  const known = knownState(state);
  return new SovereignError({
    code: known?.code ?? 'adb-state',
    what: known?.what ?? `adb says that the phone is in the state ${state}`,
    on: serial,
    hint: known?.hint ?? 'Start Android on it, and run the command again',
    exit: 4,
  });
}

/** The error for an answer of the adb server that is no. */
export function failureError(serial: string, message: string): SovereignError {
  if (/not found|no devices/.test(message)) return adbLost(serial, message);
  if (knownState(message) !== undefined) return stateError(serial, message);
  return new SovereignError({
    code: 'adb-refused',
    what: `adb refuses that: ${message}`,
    on: serial,
    hint: 'Run the command again; where that does not help, restart adb (adb kill-server), and update it where it is old (adb version)',
    exit: 4,
  });
}

/** The connection ended while something was going on. Every command can be repeated. */
export const adbLost = (serial: string, cause?: unknown): SovereignError =>
  new SovereignError({
    code: 'adb-lost',
    what: 'the connection to the phone was lost',
    on: serial,
    hint: 'What ran on the phone goes on there. Connect it again and run the command again: it goes on where this one ended',
    exit: 4,
    cause,
  });

/** The connection is there, and nothing comes over it. */
export const adbStalled = (serial: string, what: string): SovereignError =>
  new SovereignError({
    code: 'adb-stalled',
    what,
    on: serial,
    hint: 'Wake the phone, unplug it and plug it in again; where that does not help, restart adb: adb kill-server. Then run the command again: it goes on where this one ended',
    exit: 4,
  });

export const noServer = (port: number, cause: unknown): SovereignError =>
  new SovereignError({
    code: 'no-adb-server',
    what: 'no adb server answers',
    on: `127.0.0.1:${port}`,
    hint: 'Start it: adb start-server',
    exit: 4,
    cause,
  });

/** Root could not be had; `said` is what the phone's `su` answered. */
export function noRoot(serial: string, said: string): SovereignError {
  const denied = /denied|not allowed|EPERM/i.test(said);
  return new SovereignError({
    code: denied ? 'root-denied' : 'no-root',
    what: denied ? 'the phone does not let adb become root' : 'no way to become root was found on the phone',
    on: said === '' ? serial : `${serial}: ${said}`,
    hint: denied
      ? 'Allow it for "Shell" (com.android.shell) in the app of Magisk, KernelSU or APatch, and run the command again'
      : 'Virtual machines need root: install Magisk, KernelSU or APatch, or run a userdebug build and adb root',
    exit: 4,
  });
}
