import { listDevices, selectDevice } from '@sovereign/device';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ownSettings, Phone, PhoneService } from './phone.ts';

const settings = ownSettings();
let phones: Phone[] = [];
let services: PhoneService[] = [];

beforeAll(async () => {
  phones = [await Phone.start('first-test'), await Phone.start('second-test', '--root', 'apatch')];
  services = await Promise.all(phones.map((phone) => PhoneService.on(phone)));
  for (const service of services) await service.up();
});

afterAll(async () => {
  for (const phone of phones) await phone.stop();
  settings.remove();
});

test('two phones serve side by side, each with data and a password of its own', async () => {
  for (const [index, service] of services.entries()) {
    await service.query(`create table mine as select ${index} as number`);
  }
  for (const [index, service] of services.entries()) {
    expect(await service.query('select number from mine')).toEqual([{ number: index }]);
  }
  const passwords = await Promise.all(
    services.map(({ device, definition }) => device.secret(definition, 'postgres-password')),
  );
  expect(new Set(passwords).size).toBe(2);
});

test('without a choice both are named, and a wrong choice is none', async () => {
  const serials = phones.map(({ serial }) => serial);
  expect((await listDevices()).map(({ id }) => id)).toEqual(expect.arrayContaining(serials));
  for (const serial of serials) {
    await expect(selectDevice({})).rejects.toMatchObject({
      code: 'which-device',
      what: expect.stringContaining(serial) as string,
      exit: 4,
    });
  }
  await expect(selectDevice({ serial: 'no-such-phone' })).rejects.toMatchObject({
    code: 'no-such-device',
    exit: 4,
  });
});
