import { needsOf, settingValues } from '@sovereign/service';
import { expect, test } from 'vitest';
import definition from '../service.config.ts';

test('by default it needs no other machine, and by one setting the SQL service', () => {
  expect(needsOf(definition, settingValues(definition))).toEqual([]);
  expect(needsOf(definition, settingValues(definition, { database: 'sql' }))).toMatchObject([
    { service: 'sql' },
  ]);
});

test('git is at port 22 of the tailnet, and the owner’s SSH keeps the guest’s', () => {
  expect(definition.ports.find(({ scheme }) => scheme === 'ssh')).toMatchObject({ guest: 2222, tailnet: 22 });
});
