import { listDevices, selectDevice } from '@sovereign/device';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { documentOf, ownSettings, Phone, PhoneService, sovereign, waiting } from './phone.ts';

const settings = ownSettings();
let phones: Phone[] = [];
let services: PhoneService[] = [];

beforeAll(async () => {
  // Root as no other test has it, and the newest crosvm.
  phones = [
    await Phone.start('first-test', '--root', 'apatch', '--android', '16'),
    await Phone.start('second-test', '--root', 'userdebug'),
  ];
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

test('commands of a user without -s end with 4 and list both, and change neither', async () => {
  const before = await Promise.all(services.map((service) => service.told()));
  for (const command of [
    ['up', '--sql', '--yes'],
    ['down', 'sql'],
    ['test', 'sql'],
  ]) {
    const { error } = documentOf(await sovereign(...command, '--json'), 4) as { error: { what: string } };
    for (const { serial } of phones) expect(error.what).toContain(serial);
  }
  const after = await Promise.all(services.map((service) => service.told()));
  expect(after.map((told) => told['sql pid'])).toEqual(before.map((told) => told['sql pid']));
});

test('a userdebug build, which runs no hook, keeps its data over a restart, and serves again once asked', async () => {
  const [, service] = services;
  if (service === undefined) throw new Error('there is no second phone');
  await service.phone.run('reboot');
  expect(await service.status()).toMatchObject({ state: 'stopped' });
  documentOf(await sovereign('start', 'sql', ...waiting(service.phone)));
  expect(await service.query('select number from mine')).toEqual([{ number: 1 }]);
});
