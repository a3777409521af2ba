import { existsSync } from 'node:fs';
import { defineService } from '@sovereign/service';
import { expect, test } from 'vitest';
import { deviceSettings } from './device-settings.ts';
import { deviceConfigDir } from './secrets.ts';
import { changeOwnSettings, ownSettings, readSettingChange } from './service-settings.ts';
import { definition, Workstation } from './testing/workstation.ts';

const vault = defineService({
  ...definition,
  name: 'vault',
  settings: [
    { name: 'owner', kind: 'email', description: 'who is invited' },
    { name: 'database', kind: 'text', choices: ['sqlite', 'sql'], default: 'sqlite', description: 'where' },
  ],
});
const ID = '5bb0e1ba-3a1e-4c47-9d3a-0c1f5d1c3c54';

test('words become a change, and a word without a value takes a setting back', () => {
  expect(readSettingChange(vault, ['database=sql', 'owner='])).toEqual({ database: 'sql', owner: undefined });
});

test.each([
  ['a word that is no setting', ['database'], /NAME=VALUE/],
  ['a name that nobody knows', ['databse=sql'], /no such setting/],
  ['a value that its kind refuses', ['owner=me'], /no email/],
])('%s is refused', (_, words, message) => {
  expect(() => readSettingChange(vault, words)).toThrow(message);
});

test('what is decided is kept per device and service, and nothing of it stays when it is taken back', async () => {
  new Workstation();
  expect(await ownSettings(undefined, vault)).toEqual({});
  await changeOwnSettings(ID, { ...vault, name: 'other' }, { database: 'sql' });
  expect(await changeOwnSettings(ID, vault, { database: 'sql', owner: 'me@example.org' })).toEqual({
    database: 'sql',
    owner: 'me@example.org',
  });
  expect(await changeOwnSettings(ID, vault, { owner: undefined })).toEqual({ database: 'sql' });
  await changeOwnSettings(ID, vault, { database: undefined });
  expect((await deviceSettings(ID)).services).toEqual({ other: { database: 'sql' } });
});

test('a value that is refused leaves everything as it was', async () => {
  new Workstation();
  await expect(changeOwnSettings(ID, vault, { database: 'sql', owner: 'me' })).rejects.toThrow(/no email/);
  expect(existsSync(deviceConfigDir(ID, 'settings.json'))).toBe(false);
});

test('a device that was never used gets its id with the first decision', async () => {
  const { device } = new Workstation();
  expect(await device.settings(vault)).toEqual({});
  await device.changeSettings(vault, { database: 'sql' });
  expect(await device.settings(vault)).toEqual({ database: 'sql' });
});
