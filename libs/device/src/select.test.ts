import { expect, test } from 'vitest';
import { listDevices, selectDevice } from './select.ts';

test('this machine is a device, and the default', async () => {
  expect((await listDevices()).map(({ id, kind }) => [id, kind])).toEqual([['local', 'local']]);
  expect((await selectDevice({ env: {} })).id).toBe('local');
  expect((await selectDevice({ serial: 'local', env: { ANDROID_SERIAL: 'phone' } })).id).toBe('local');
});

test.for([
  [{ serial: 'phone', env: {} }, 'phone'],
  [{ env: { ANDROID_SERIAL: 'other' } }, 'other'],
] as const)('a serial that nobody has is exit 4 and lists what there is', async ([choice, on]) => {
  await expect(selectDevice(choice)).rejects.toMatchObject({
    code: 'no-such-device',
    exit: 4,
    on,
    hint: 'Known here: local',
  });
});
