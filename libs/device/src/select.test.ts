import { expect, test } from 'vitest';
import { listDevices, selectDevice } from './select.ts';

/** No adb server, no test phones, no adb to start. */
const nothing = { env: { ANDROID_ADB_SERVER_PORT: '1' }, announced: '/nowhere' };

test('this machine is a device, and the default', async () => {
  expect((await listDevices(nothing)).map(({ id, kind }) => [id, kind])).toEqual([['local', 'local']]);
  expect((await selectDevice(nothing)).id).toBe('local');
  const env = { ...nothing.env, ANDROID_SERIAL: 'phone' };
  expect((await selectDevice({ ...nothing, serial: 'local', env })).id).toBe('local');
});

test('a serial is looked for through adb, which has to be there', async () => {
  await expect(selectDevice({ ...nothing, serial: 'phone' })).rejects.toMatchObject({
    code: 'no-adb',
    exit: 4,
  });
});
