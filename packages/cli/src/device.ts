import type { Device } from '@sovereign/device';
import { note, SovereignError } from '@sovereign/report';
import { releaseId, type FoundService } from '@sovereign/service';
import type { DeviceAccess, Session } from './session.ts';

/** Loaded when a device is needed: help, version and completion stay quick without it. */
export const deviceLibrary = () => import('@sovereign/device');

/**
 * @param root the checkout
 * @param chosen the services that the command is about
 */
export function deviceAccess(
  root: string,
  serial: string | undefined,
  chosen: readonly FoundService[],
): DeviceAccess {
  const services = chosen.map(({ definition }) => definition.name);
  return {
    pick: async () => (await deviceLibrary()).selectDevice({ serial, services }),
    used: async () => (await deviceLibrary()).usedDevices(),
    all: async () => (await deviceLibrary()).listDevices(),
    built: async (service) => {
      const { readBundle } = await deviceLibrary();
      return releaseId((await readBundle(root, service)).release);
    },
  };
}

/** Whether the command line means a phone by its serial; adb has to be there for it. */
export function meansPhone(serial: string | undefined, env: NodeJS.ProcessEnv = process.env): boolean {
  const wanted = serial ?? env.ANDROID_SERIAL ?? '';
  return wanted !== '' && wanted !== 'local';
}

/** Every command that changes something says first where. */
export const announce = ({ id, kind }: Device): void =>
  note(`device: ${id} (${kind === 'local' ? 'this machine' : 'a phone'})`);

/** The one service of a command that takes one. */
export function theService({ chosen }: Session): FoundService {
  const [service] = chosen;
  if (service !== undefined) return service;
  throw new SovereignError({ code: 'which-service', what: 'say which service is meant', exit: 2 });
}
