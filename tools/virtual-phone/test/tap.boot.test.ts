import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectClosedToNeighbours, expectClosedToUplink } from './closed.ts';
import { documentOf, nx, ownSettings, Phone, PhoneService, psql, sovereign, waiting } from './phone.ts';

const settings = ownSettings();
let phone: Phone;
let sql: PhoneService;
let before: string[];

beforeAll(async () => {
  phone = await Phone.start('tap-test', '--root', 'kernelsu', '--android', '14');
  before = await phone.rules();
  sql = await PhoneService.on(phone);
  await sql.putData();
  const up = await sovereign('up', '--sql', '--network', 'tap', '--yes', ...waiting(phone));
  expect(documentOf(up)).toMatchObject({ devices: [{ services: [{ state: 'running', healthy: true }] }] });
  await psql(phone, "create table kept as select 'a row' as value");
});

afterAll(async () => {
  await phone.stop();
  settings.remove();
});

test('a service with a TAP device has the first address and answers psql over the forwarded port', async () => {
  expect(await psql(phone, 'select value from kept')).toBe('a row');
  expect(await sql.inGuest('ip', '-4', 'address', 'show', 'eth0')).toContain('inet 192.168.127.2/24');
  expect(await phone.shell('ip link show sov-sql')).toContain('sov-sql');
});

test('nothing of the guest is reached from a network that the phone is in', () => expectClosedToUplink(sql));

test('a port that is not declared is not reached from a neighbour', { timeout: 600_000 }, () =>
  expectClosedToNeighbours(sql),
);

test('the targets of Nx deploy to it, with nothing to send, and find it in order', async () => {
  const device = ['--device', phone.serial, '--skipSync', '--outputStyle=static'];
  const before = await sql.told();
  const deployed = await nx('run', 'rootfs-sql:deploy', ...device);
  expect(deployed.status, deployed.stderr + deployed.stdout).toBe(0);
  expect(await sql.told()).toMatchObject({ 'sql pid': before['sql pid'], 'sql slot': 'a' });
  // Its last check restarts the service.
  const verified = await nx('run', 'rootfs-sql:verify', ...device);
  expect(verified.status, verified.stderr + verified.stdout).toBe(0);
  expect(await psql(phone, 'select value from kept')).toBe('a row');
});

test('after a restart of the phone it is back without the workstation', async () => {
  await phone.run('unplug');
  await phone.run('reboot');
  await sql.healthyThere();
  await phone.run('plug');
  expect(await psql(phone, 'select value from kept')).toBe('a row');
});

test('a crosvm that refuses the arguments is given older ones by the launcher alone, which keeps to them', async () => {
  const spelling = (): Promise<string> =>
    phone.shell(
      'cd /data/sovereign/services/sql && read -r n _ <state/variant && grep -c -e --tap-name "$(cat current)/argv.$n" || :',
    );
  expect(await spelling()).toBe('0');
  await phone.run('ota', '--android', '13');
  // The update took root's hooks away: what they start, once their owner has brought root back.
  await phone.shell(
    'read -r agent </data/sovereign/agent/current && sh /data/sovereign/agent/$agent/launch.sh boot /data/sovereign',
  );
  await sql.healthyThere();
  expect(await spelling()).toBe('1');
  expect(await phone.shell('cat /data/sovereign/services/sql/log/launcher.log')).toMatch(
    /refused the arguments of variant 1.*: trying variant 2/,
  );
  expect(await sql.query('select value from kept')).toEqual([{ value: 'a row' }]);
});

test('an update of Android is told, and the next deploy serves by its crosvm', async () => {
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
  await expect.poll(() => phone.rules(), { timeout: 120_000, interval: 500 }).toEqual(before);
});
