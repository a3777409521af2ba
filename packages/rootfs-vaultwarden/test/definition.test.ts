import { needsOf, serviceFiles, settingValues } from '@sovereign/service';
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

test('the tailnet reaches the web by HTTPS alone', () => {
  const { content } = serviceFiles(definition, 'alpine')[0] ?? { content: '' };
  expect(content).toContain('tailnet web 443 443\n');
  expect(content).toMatch(/^tls web 443 8000 certificate (domain|url)$/m);
  expect(content).not.toMatch(/^tailnet \S+ \d+ 8000$/m);
});
