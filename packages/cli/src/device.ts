import type { Device } from '@sovereign/device';
import { note, SovereignError } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import type { Session } from './session.ts';

/** Loaded when a device is needed: help, version and completion stay quick without it. */
export const deviceLibrary = () => import('@sovereign/device');

/** How a command gets at devices. */
export interface DeviceAccess {
  /** The device that the command line means. */
  pick(): Promise<Device>;
  all(): Promise<Device[]>;
}

export const deviceAccess = (serial: string | undefined): DeviceAccess => ({
  pick: async () => (await deviceLibrary()).selectDevice({ serial }),
  all: async () => (await deviceLibrary()).listDevices(),
});

/** Every command that changes something says first where. */
export const announce = ({ id, kind }: Device): void =>
  note(`device: ${id} (${kind === 'local' ? 'this machine' : 'a phone'})`);

/** The one service of a command that takes one. */
export function theService({ chosen }: Session): FoundService {
  const [service] = chosen;
  if (service !== undefined) return service;
  throw new SovereignError({ code: 'which-service', what: 'say which service is meant', exit: 2 });
}
