import { defineService } from '@sovereign/service';
import { expect, test } from 'vitest';
import { service } from '../testing/services.ts';
import { fakeDevice, fakeSession } from '../testing/session.ts';
import { settings } from './settings.ts';

const vault = service('vault', 3);
const chosen = [
  {
    ...vault,
    definition: defineService({
      ...vault.definition,
      settings: [
        {
          name: 'database',
          kind: 'text',
          choices: ['sqlite', 'sql'],
          default: 'sqlite',
          description: 'where it keeps its data',
        },
        { name: 'owner', kind: 'email', description: 'who is invited first' },
      ],
    }),
  },
];

test('without a word, every setting is shown with what holds and what it is for', async () => {
  const device = fakeDevice({ settings: () => Promise.resolve({ owner: 'me@example.org' }) });
  const { json, text } = await settings(fakeSession({ device, chosen }).session);
  expect(text?.split('\n')).toEqual([
    'database  sqlite (default)',
    '          where it keeps its data: sqlite or sql',
    'owner     me@example.org',
    '          who is invited first',
    'disk      (not set)',
    expect.stringMatching(/^ {10}Data disk .*: thin or thick$/) as string,
  ]);
  expect(json).toMatchObject({
    device: 'local',
    service: 'vault',
    settings: [
      { name: 'database', value: 'sqlite', own: false },
      { name: 'owner', value: 'me@example.org', own: true },
      { name: 'disk', value: null, own: false },
    ],
  });
  expect(device.did).toEqual([]);
});

test('a word changes a setting, and is told when it comes to hold', async () => {
  const device = fakeDevice();
  const { text } = await settings(fakeSession({ device, chosen, words: ['database=sql'] }).session);
  expect(device.did).toEqual(['change settings vault {"database":"sql"}']);
  expect(text).toMatch(/the next sovereign up vault, or deploy vault/);
});

test('a dry run changes nothing', async () => {
  const device = fakeDevice();
  const wish = { device, chosen, words: ['owner='], flags: { dryRun: true } };
  expect((await settings(fakeSession(wish).session)).text).toBe('set owner= of vault on local');
  expect(device.did).toEqual([]);
});

test('a wrong word is refused before a device is looked for', async () => {
  const { session } = fakeSession({ chosen, words: ['owner=nobody'] });
  await expect(settings(session)).rejects.toMatchObject({ code: 'bad-setting', exit: 2 });
});
