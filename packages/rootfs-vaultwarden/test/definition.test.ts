import { needsOf, settingValues } from '@sovereign/service';
import { expect, test } from 'vitest';
import definition from '../service.config.ts';

test('by default it needs no other machine, and by one setting the SQL service', () => {
  expect(needsOf(definition, settingValues(definition))).toEqual([]);
  expect(needsOf(definition, settingValues(definition, { database: 'sql' }))).toMatchObject([
    { service: 'sql' },
  ]);
});

test('the token of the admin page never reaches the guest as it is', () => {
  expect(definition.secrets.find(({ name }) => name === 'admin-token')).toMatchObject({
    deliver: 'argon2id',
  });
});
