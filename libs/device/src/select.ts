import { SovereignError } from '@sovereign/report';
import { dataDir } from '@sovereign/store';
import type { Device } from './contract.ts';
import { HostedDevice } from './device.ts';
import { LocalHost } from './local/host.ts';

/** What a command line says about the device. */
export interface DeviceChoice {
  /** Of `-s`; `local` is this machine. */
  serial?: string | undefined;
  env?: NodeJS.ProcessEnv;
}

/** Everything that can run services: this machine, and every phone that is attached. */
export function listDevices(): Promise<Device[]> {
  return Promise.resolve([localDevice()]);
}

/** This machine as a device; its folder is docs/interface.md's, "Where things are". */
export const localDevice = (root: string = dataDir('local')): Device => new HostedDevice(new LocalHost(root));

/**
 * The device that a command means: `-s`, then ANDROID_SERIAL, then this machine.
 * @throws SovereignError `no-such-device` with exit 4
 */
export async function selectDevice({ serial, env = process.env }: DeviceChoice = {}): Promise<Device> {
  const devices = await listDevices();
  const variable = env.ANDROID_SERIAL;
  const wanted = serial ?? (variable === undefined || variable === '' ? 'local' : variable);
  const found = devices.find(({ id }) => id === wanted);
  if (found !== undefined) return found;
  throw new SovereignError({
    code: 'no-such-device',
    what: `there is no device ${wanted}${serial === undefined ? ', which ANDROID_SERIAL names' : ''}`,
    on: wanted,
    hint: `Known here: ${devices.map(({ id }) => id).join(', ')}`,
    exit: 4,
  });
}
