import { expect, test } from 'vitest';
import { startOrder } from './order.ts';

const service = (name: string, ...needs: string[]) => ({
  name,
  settings: [{ name: 'database', kind: 'text' as const, default: 'own', description: 'where' }],
  needs: needs.map((one) => {
    const [needed = '', is] = one.split('=');
    return { service: needed, ...(is === undefined ? {} : { when: { setting: 'database', is } }) };
  }),
});
const none = () => ({});
const names = (services: { name: string }[]) => services.map(({ name }) => name);

test('what is needed comes first, once, also where nobody asked for it', () => {
  const [sql, vault, forge] = [service('sql'), service('vault', 'sql'), service('forge', 'sql', 'vault')];
  const all = [sql, vault, forge];
  expect(names(startOrder([forge], all, none))).toEqual(['sql', 'vault', 'forge']);
  expect(names(startOrder([forge, vault, sql], all, none))).toEqual(['sql', 'vault', 'forge']);
});

test('a need counts only as the owner’s settings are', () => {
  const [sql, vault] = [service('sql'), service('vault', 'sql=sql')];
  expect(names(startOrder([vault], [sql, vault], none))).toEqual(['vault']);
  const own = (name: string): Record<string, string> => (name === 'vault' ? { database: 'sql' } : {});
  expect(names(startOrder([vault], [sql, vault], own))).toEqual(['sql', 'vault']);
});

test('services that need each other are an error that shows the circle', () => {
  const all = [service('a', 'b'), service('b', 'c'), service('c', 'b')];
  expect(() => startOrder(all, all, none)).toThrow(
    expect.objectContaining({ code: 'needs-cycle', on: 'b needs c needs b' }),
  );
});

test('a need that nobody meets is an error that names both', () => {
  const vault = service('vault', 'sql');
  expect(() => startOrder([vault], [vault], none)).toThrow(
    expect.objectContaining({
      code: 'unknown-need',
      on: 'vault',
      what: expect.stringMatching(/needs sql/) as string,
    }),
  );
});
