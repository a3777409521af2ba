import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectClosedToNeighbours, expectClosedToUplink } from './closed.ts';
import { ownSettings, Phone, PhoneService } from './phone.ts';

const settings = ownSettings();
let phone: Phone;
let sql: PhoneService;
let before: string[];

beforeAll(async () => {
  phone = await Phone.start('tap-test', '--root', 'kernelsu', '--android', '14');
  before = await phone.rules();
  sql = await PhoneService.on(phone);
  await sql.up('tap');
  await sql.query("create table kept as select 'a row' as value");
});

afterAll(async () => {
  await phone.stop();
  settings.remove();
});

test('a service with a TAP device has its address and answers over the forwarded port', async () => {
  expect(await sql.inGuest('ip', '-4', 'address', 'show', 'eth0')).toContain('inet 192.168.127.2/24');
  expect(await phone.shell('ip link show sov-sql')).toContain('sov-sql');
});

test('nothing of the guest is reached from a network that the phone is in', () => expectClosedToUplink(sql));

test('a port that is not declared is not reached from a neighbour', { timeout: 600_000 }, () =>
  expectClosedToNeighbours(sql),
);

test('after a restart of the phone it is back without the workstation', async () => {
  await phone.run('unplug');
  await phone.run('reboot');
  await sql.healthyThere();
  await phone.run('plug');
  expect(await sql.query('select value from kept')).toEqual([{ value: 'a row' }]);
});

test('an update of Android is told, and the next deploy serves again by its crosvm', async () => {
  await phone.run('ota', '--android', '16');
  expect((await sql.status()).attention).toContain('platform changed');
  // What a phone can do is asked once a process: another command looks anew.
  sql = await PhoneService.on(phone);
  await sql.up();
  const { attention } = await sql.status();
  expect(attention ?? '').not.toContain('platform changed');
  expect(await sql.query('select value from kept')).toEqual([{ value: 'a row' }]);
});

test('a stop leaves rules and interfaces as they were', async () => {
  await sql.device.stop(sql.definition, 60);
  await expect.poll(() => phone.rules(), { timeout: 20_000, interval: 500 }).toEqual(before);
});
