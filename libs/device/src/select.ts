import { note, SovereignError } from '@sovereign/report';
import { dataDir } from '@sovereign/store';
import { phoneHost } from './adb/device.ts';
import { attachedPhones, type Attached, type PhoneSearch } from './adb/servers.ts';
import type { Device } from './contract.ts';
import { HostedDevice } from './device.ts';
import { knownDevices } from './device-settings.ts';
import { LocalHost } from './local/host.ts';

/** What a command line says about the device. */
export interface DeviceChoice extends PhoneSearch {
  /** Of `-s`; `local` is this machine. */
  serial?: string | undefined;
  /** The services that the command is about: it means the device that has them. */
  services?: readonly string[];
}

/** Everything that can run services: this machine, and every phone that is attached. */
export async function listDevices(search: PhoneSearch = {}): Promise<Device[]> {
  const phones = await attachedPhones(search);
  return [localDevice(), ...phones.map(phoneDevice)];
}

/** This machine, and every attached phone that was used from here before: no other is asked for anything. */
export async function usedDevices(search: PhoneSearch = {}): Promise<Device[]> {
  const phones = await attachedPhones(search);
  const known = await knownAmong(phones);
  tellOthers(phones, known);
  // One alone is itself: it is not asked for that.
  if (known.length < 2) return [localDevice(), ...known.map(phoneDevice)];
  return [localDevice(), ...onePerDevice(await askedFor(known)).map(({ device }) => device)];
}

function tellOthers(phones: readonly Attached[], known: readonly Attached[]): void {
  const others = phones.filter((phone) => !known.includes(phone)).map(({ serial }) => serial);
  if (others.length > 0) note(`attached and never used from here: ${others.join(', ')}; -s asks it`);
}

/** This machine as a device; its folder is docs/interface.md's, "Where things are". */
export const localDevice = (root: string = dataDir('local'), options?: { closed: boolean }): Device =>
  new HostedDevice(new LocalHost(root, options));

const phoneDevice = (phone: Attached): Device => new HostedDevice(phoneHost(phone));

async function knownAmong(phones: readonly Attached[]): Promise<Attached[]> {
  const serials = new Set((await knownDevices()).flatMap((device) => device.serials));
  return phones.filter(({ serial }) => serials.has(serial));
}

/**
 * The device that a command means: `-s`, then ANDROID_SERIAL, then the one where the service already is, then the only
 * phone that was prepared before, then this machine.
 * @throws SovereignError `no-such-device`, `which-device` with exit 4
 */
export async function selectDevice({ serial, services = [], ...search }: DeviceChoice = {}): Promise<Device> {
  const variable = (search.env ?? process.env).ANDROID_SERIAL;
  const wanted = serial ?? (variable === '' ? undefined : variable);
  if (wanted !== undefined) return named(wanted, serial === undefined, search);
  const local = localDevice();
  const attached = await attachedPhones(search);
  const known = await knownAmong(attached);
  const phones = onePerDevice(await preparedPhones(known));
  if (phones.length === 0) {
    // The same phone has another serial over another cable, or over the network.
    tellOthers(attached, known);
    return local;
  }
  const all = [{ device: local, has: (await local.inventory()).services }, ...phones];
  const having = all.filter(
    ({ has }) => has === undefined || services.some((service) => has.includes(service)),
  );
  const [first, second] = having.length > 0 ? having : phones;
  if (first !== undefined && second === undefined) return first.device;
  const ids = (having.length > 0 ? having : phones).map(({ device }) => device.id);
  throw new SovereignError({
    code: 'which-device',
    what: `several devices fit: ${ids.join(', ')}`,
    on: services.length === 0 ? undefined : services.join(', '),
    hint: `Say which one is meant: -s ${ids[0] ?? 'SERIAL'}, or set ANDROID_SERIAL`,
    exit: 4,
  });
}

/**
 * The phones that this workstation prepared or took over, with the services on them; undefined where a phone cannot be
 * asked: it may well be the one that is meant.
 */
async function preparedPhones(phones: readonly Attached[]): Promise<Asked[]> {
  const ids = new Set((await knownDevices()).map(({ id }) => id));
  const asked = await askedFor(phones);
  return asked.filter(({ id, has }) => has === undefined || (id !== undefined && ids.has(id)));
}

/** A phone, with what it said of itself; nothing where it cannot be asked. */
interface Asked {
  device: Device;
  id?: string | undefined;
  has: readonly string[] | undefined;
}

const askedFor = (phones: readonly Attached[]): Promise<Asked[]> =>
  Promise.all(
    phones.map(async (phone) => {
      const device = phoneDevice(phone);
      try {
        const { id, services } = await device.inventory();
        return { device, id, has: services };
      } catch {
        return { device, has: undefined };
      }
    }),
  );

/** One phone may be attached twice, over a cable and over the network: it is known by its own id. */
const onePerDevice = (phones: readonly Asked[]): Asked[] =>
  phones.filter(
    ({ id }, index) => id === undefined || phones.findIndex((other) => other.id === id) === index,
  );

async function named(serial: string, byVariable: boolean, search: PhoneSearch): Promise<Device> {
  if (serial === 'local') return localDevice();
  const find = async (start: boolean) =>
    (await attachedPhones({ ...search, start })).find((phone) => phone.serial === serial);
  // adb's own server is started for a phone that nobody else has.
  const phone = (await find(false)) ?? (await find(true));
  if (phone !== undefined) return phoneDevice(phone);
  const devices = await listDevices(search);
  const known = (await knownDevices()).some(({ serials }) => serials.includes(serial));
  throw new SovereignError({
    code: 'no-such-device',
    what: `there is no device ${serial}${byVariable ? ', which ANDROID_SERIAL names' : ''}`,
    on: serial,
    hint: `${known ? 'It was used from here before: connect it and unlock it. ' : ''}Attached now: ${devices.map(({ id }) => id).join(', ')}`,
    exit: 4,
  });
}
