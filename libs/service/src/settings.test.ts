import { expect, test } from 'vitest';
import { defineService } from './definition.ts';
import { checkSetting, needsOf, settingValues } from './settings.ts';

const definition = defineService({
  name: 'vault',
  title: 'Vault',
  net: { index: 3 },
  bases: {},
  accounts: [],
  resources: { memory: 128, cpus: 1 },
  data: { kind: 'vault', major: 1, collation: 'none', size: 64 },
  ports: [],
  secrets: [{ name: 'database-password', make: 'password', description: 'its own role' }],
  settings: [
    {
      name: 'database',
      kind: 'text',
      choices: ['sqlite', 'sql'],
      default: 'sqlite',
      description: 'where it keeps its data',
    },
    { name: 'owner', kind: 'email', description: 'who is invited first' },
    { name: 'smtp-port', kind: 'number', description: 'of the mail server' },
  ],
  needs: [
    {
      service: 'sql',
      when: { setting: 'database', is: 'sql' },
      database: { name: 'vault', secret: 'database-password' },
    },
  ],
  units: ['vault'],
  health: { command: '/health', deadline: 60 },
});

test('defaults hold where the owner says nothing, and a setting without one has no value', () => {
  expect(settingValues(definition)).toEqual({ database: 'sqlite' });
  expect(settingValues(definition, { database: 'sql', owner: 'me@example.org' })).toEqual({
    database: 'sql',
    owner: 'me@example.org',
  });
});

test.each([
  ['databse', 'sql', /vault has no such setting/],
  ['database', 'mysql', /one of sqlite, sql/],
  ['owner', 'nobody', /no email/],
  ['smtp-port', 'smtp', /no number/],
])('%s = %s is refused', (name, value, message) => {
  expect(() => checkSetting(definition, name, value)).toThrow(message);
});

test('a need counts only where its setting has the value that makes it one', () => {
  expect(needsOf(definition, settingValues(definition))).toEqual([]);
  expect(needsOf(definition, settingValues(definition, { database: 'sql' }))).toMatchObject([
    { service: 'sql', database: { name: 'vault' } },
  ]);
});

test.each([
  ['a default that its own kind refuses', { default: 'mysql' }, /database.*one of/],
  ['two settings of one name', undefined, /two settings are called database/],
])('%s is refused when the service is declared', (_, change, message) => {
  const [database, ...rest] = definition.settings;
  if (database === undefined) throw new Error('the definition has settings');
  const settings =
    change === undefined ? [database, database, ...rest] : [{ ...database, ...change }, ...rest];
  expect(() => defineService({ ...definition, settings })).toThrow(message);
});

test.each([
  ['a setting', { when: { setting: 'databse', is: 'sql' } }, /no setting databse/],
  ['a secret', { database: { name: 'vault', secret: 'password' } }, /no secret password/],
])('a need that names %s which is not there is refused', (_, change, message) => {
  const needs = [{ service: 'sql', ...change }];
  expect(() => defineService({ ...definition, needs })).toThrow(message);
});

test('every service has a setting for its disk, once, and none has one of its own by that name', () => {
  const disks = ({ settings }: typeof definition) => settings.filter(({ name }) => name === 'disk');
  expect(disks(definition)).toEqual(disks(defineService({ ...definition, title: 'Other' })));
  expect(disks(definition)).toHaveLength(1);
  // Unless its owner decides, the guest is told nothing.
  expect(settingValues(definition)).not.toHaveProperty('disk');
  expect(settingValues(definition, { disk: 'thin' })).toMatchObject({ disk: 'thin' });
  expect(() => checkSetting(definition, 'disk', 'small')).toThrow(/disk is one of thin, thick/);
  const settings = [{ name: 'disk', kind: 'flag' as const, description: 'of its own' }];
  expect(() => defineService({ ...definition, settings })).toThrow(/every service has a setting disk/);
});

test('every service has a heartbeat, once, and none has a secret of its own by that name', () => {
  const names = (one: typeof definition): string[] => one.secrets.map(({ name }) => name);
  expect(names(definition)).toEqual(['database-password', 'heartbeat']);
  expect(names(defineService({ ...definition, title: 'Other' }))).toEqual(['database-password', 'heartbeat']);
  const secrets = [...definition.secrets.slice(0, 1)].map((secret) => ({ ...secret, name: 'heartbeat' }));
  expect(() => defineService({ ...definition, needs: [], secrets })).toThrow(
    /every service has a secret heartbeat/,
  );
});
