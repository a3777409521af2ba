import { expect, test } from 'vitest';
import { start, stop } from './commands/lifecycle.ts';
import { three } from './testing/services.ts';
import { fakeDevice, fakeSession } from './testing/session.ts';

const [sql, vault] = three;
if (sql === undefined || vault === undefined) throw new Error('there are three');

test('what a service needs is started before it, and that is said', async () => {
  const device = fakeDevice({ startOrder: () => Promise.resolve([sql.definition, vault.definition]) });
  const { session } = fakeSession({ device, services: three, chosen: [vault] });
  const { text } = await start(session);
  expect(device.did).toEqual(['start sql', 'wait sql 30', 'start vaultwarden', 'wait vaultwarden 30']);
  expect(text).toBe('sql is healthy\nvault is healthy');
});

test('what the device has no memory for is refused before anything is started', async () => {
  const device = fakeDevice({ startOrder: () => Promise.reject(new Error('too little memory')) });
  const { session } = fakeSession({ device, services: three, chosen: [vault] });
  await expect(start(session)).rejects.toThrow('too little memory');
  expect(device.did).toEqual([]);
});

test('what others may need is stopped after them', async () => {
  const device = fakeDevice();
  const { session } = fakeSession({ device, services: three, chosen: [sql, vault] });
  const { text } = await stop(session);
  expect(device.did).toEqual(['stop vaultwarden 60', 'stop sql 60']);
  expect(text).toBe('vault is stopped; its data stays\nsql is stopped; its data stays');
});
