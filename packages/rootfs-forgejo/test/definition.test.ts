import { needsOf, serviceFiles, settingValues } from '@sovereign/service';
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

test('the tailnet reaches the web by HTTPS alone', () => {
  const { content } = serviceFiles(definition, 'alpine')[0] ?? { content: '' };
  expect(content).toContain('tailnet web 443 443\n');
  expect(content).toMatch(/^tls web 443 3000 certificate (domain|url)$/m);
  expect(content).not.toMatch(/^tailnet \S+ \d+ 3000$/m);
});
