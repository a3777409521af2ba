import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
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

test('a port that is not declared is not reached from a neighbour', { timeout: 600_000 }, async () => {
  const neighbour = sql.neighbour();
  onTestFinished(() => neighbour.device.remove(neighbour.definition, { data: true }));
  await neighbour.up();
  const address = '192.168.127.2';
  const asked = (port: number): Promise<string> =>
    neighbour.inGuest('sh', '-c', `nc -w 3 ${address} ${port} </dev/null || :`);
  await sql.inGuest('sh', '-c', '(while :; do echo open | nc -l -p 7777; done) </dev/null >/dev/null 2>&1 &');
  expect(await asked(7777)).toBe('');
  // SSH answers with its version where it is reached, PostgreSQL says nothing before it is asked.
  expect(await asked(22)).toBe('');
  expect(await neighbour.inGuest('sh', '-c', `nc -w 3 ${address} 5432 </dev/null && echo reached`)).toBe(
    'reached\n',
  );
  // It is the guest's firewall that keeps them out.
  await sql.inGuest('nft', 'insert rule inet sovereign input tcp dport { 22, 7777 } accept');
  await expect.poll(() => asked(7777), { timeout: 20_000 }).toBe('open\n');
  expect(await asked(22)).toContain('SSH-2.0');
});

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
