import { afterEach, expect, test, vi } from 'vitest';
import { servicesOnBase } from './on-base.ts';
import { service } from './testing/services.ts';
import { fakeSession } from './testing/session.ts';

const sql = service('sql', 2);
const vault = service('vaultwarden', 3);
const onAlpine = {
  ...vault,
  definition: { ...vault.definition, bases: { alpine: { packages: ['x'], leaveOut: {} } } },
};

afterEach(() => vi.unstubAllEnvs());

test('a service that the base has not is left out of all, by name, and refused where it is meant', async () => {
  const flags = { base: 'debian' as const };
  const all = fakeSession({ flags: { ...flags, all: true } }).session;
  expect(await servicesOnBase(all, [sql, onAlpine])).toEqual([sql]);
  const { session } = fakeSession({ flags });
  expect(await servicesOnBase(session, [sql])).toEqual([sql]);
  await expect(servicesOnBase(session, [onAlpine])).rejects.toMatchObject({
    code: 'base-unavailable',
    on: 'vault',
    exit: 2,
  });
});

test('a dry run leaves out what the run would leave out, and where no base was chosen yet it chooses none', async () => {
  const { session } = fakeSession({ flags: { dryRun: true, all: true } });
  vi.stubEnv('SOVEREIGN_BASE', 'debian');
  expect(await servicesOnBase(session, [sql, onAlpine])).toEqual([sql]);
  vi.stubEnv('SOVEREIGN_BASE', '');
  expect(await servicesOnBase(session, [sql, onAlpine])).toEqual([sql, onAlpine]);
});
