import { PassThrough } from 'node:stream';
import type { FoundService } from '@sovereign/service';
import { expect, test } from 'vitest';
import { askForOwners, inviteOwners } from './invitation.ts';
import { service } from './testing/services.ts';
import { fakeDevice, fakeSession } from './testing/session.ts';

const base = service('vaultwarden', 3);
const vault: FoundService = {
  ...base,
  definition: {
    ...base.definition,
    title: 'Vaultwarden',
    settings: [
      { name: 'owner', kind: 'email', description: 'who' },
      { name: 'domain', kind: 'url', description: 'where', default: 'http://localhost:18000' },
    ],
    invitation: { port: 'main', secret: 'postgres-password', setting: 'owner' },
  },
};
const services = [service('sql', 2), vault];

test('the owner is asked for on a terminal, before the first deploy alone, and an answer is kept', async () => {
  const asking = async (answer: string, device: ReturnType<typeof fakeDevice>, tty = true) => {
    const { session, err } = fakeSession({ device, tty, services });
    const typed = Object.assign(new PassThrough(), { isTTY: tty });
    typed.end(`${answer}\n`);
    session.streams.in = typed as unknown as typeof session.streams.in;
    await askForOwners(session, device, services);
    return { did: device.did, asked: err() };
  };
  const fresh = await asking('me@example.org', fakeDevice());
  expect(fresh.asked).toContain('Your mail address, to register at Vaultwarden with');
  expect(fresh.did).toEqual(['change settings vaultwarden {"owner":"me@example.org"}']);
  expect((await asking('', fakeDevice())).did).toEqual([]);
  await expect(asking('no address', fakeDevice())).rejects.toMatchObject({ code: 'bad-setting', exit: 2 });
  const there = { inventory: () => Promise.resolve({ id: 'x', services: ['sql', 'vaultwarden'] }) };
  expect((await asking('me@example.org', fakeDevice(there))).asked).toBe('');
  const decided = { settings: () => Promise.resolve({ owner: 'me@example.org' }) };
  expect((await asking('you@example.org', fakeDevice(decided))).asked).toBe('');
  expect((await asking('me@example.org', fakeDevice(), false)).asked).toBe('');
});

test('the owner is invited once, and told where to register', async () => {
  const settings = () => Promise.resolve({ owner: 'me@example.org', domain: 'https://vault.example.org' });
  const device = fakeDevice({ settings });
  expect(await inviteOwners(device, services)).toEqual([
    'vault has invited me@example.org: create the account at https://vault.example.org, with that address',
  ]);
  expect(device.did).toEqual(['invite vaultwarden "me@example.org"']);
  const again = fakeDevice({ settings, invited: () => Promise.resolve('me@example.org') });
  expect([await inviteOwners(again, services), again.did]).toEqual([[], []]);
  const known = fakeDevice({ settings, invite: () => Promise.resolve(false) });
  expect(await inviteOwners(known, services)).toEqual([
    'vault has an account of me@example.org already: log in at https://vault.example.org',
  ]);
  const nobody = fakeDevice();
  expect([await inviteOwners(nobody, services), nobody.did]).toEqual([[], []]);
});
