import { SovereignError } from '@sovereign/report';
import { dataDir } from '@sovereign/store';
import { phoneHost } from './adb/device.ts';
import { attachedPhones, type PhoneSearch } from './adb/servers.ts';
import type { Device } from './contract.ts';
import { HostedDevice } from './device.ts';
import { LocalHost } from './local/host.ts';

/** What a command line says about the device. */
export interface DeviceChoice extends PhoneSearch {
  /** Of `-s`; `local` is this machine. */
  serial?: string | undefined;
}

/** Everything that can run services: this machine, and every phone that is attached. */
export async function listDevices(search: PhoneSearch = {}): Promise<Device[]> {
  const phones = await attachedPhones(search);
  return [localDevice(), ...phones.map((phone) => new HostedDevice(phoneHost(phone)))];
}

/** This machine as a device; its folder is docs/interface.md's, "Where things are". */
export const localDevice = (root: string = dataDir('local')): Device => new HostedDevice(new LocalHost(root));

/**
 * The device that a command means: `-s`, then ANDROID_SERIAL, then this machine.
 * @throws SovereignError `no-such-device` with exit 4
 */
export async function selectDevice({ serial, ...search }: DeviceChoice = {}): Promise<Device> {
  const variable = (search.env ?? process.env).ANDROID_SERIAL;
  const wanted = serial ?? (variable === undefined || variable === '' ? 'local' : variable);
  if (wanted === 'local') return localDevice();
  const phone = await findPhone(wanted, search);
  if (phone !== undefined) return phone;
  const devices = await listDevices(search);
  throw new SovereignError({
    code: 'no-such-device',
    what: `there is no device ${wanted}${serial === undefined ? ', which ANDROID_SERIAL names' : ''}`,
    on: wanted,
    hint: `Known here: ${devices.map(({ id }) => id).join(', ')}`,
    exit: 4,
  });
}

/** A phone that is meant by its serial: adb's own server is started for it where it does not run. */
async function findPhone(serial: string, search: PhoneSearch): Promise<Device | undefined> {
  const find = async (start: boolean) =>
    (await attachedPhones({ ...search, start })).find((phone) => phone.serial === serial);
  const phone = (await find(false)) ?? (await find(true));
  return phone === undefined ? undefined : new HostedDevice(phoneHost(phone));
}
