import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { parse } from '../program.ts';
import { service } from '../testing/services.ts';
import { fakeDevice, fakeSession } from '../testing/session.ts';
import { backup, listBackup, schedule, verify } from './backup.ts';
import { restore } from './restore.ts';
import { status } from './status.ts';

const ID = '11111111-1111-4111-8111-111111111111';
const known = () => fakeDevice({ inventory: () => Promise.resolve({ id: ID, services: ['sql'] }) });

/** Settings of a workstation of its own; gives the folder. */
function settings(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sovereign-cli-'));
  vi.stubEnv('XDG_CONFIG_HOME', folder);
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });
  return join(folder, 'sovereign');
}

describe('backup is a command and has commands', () => {
  test.each([
    ['backup sql --json --to /srv', 'backup', { to: '/srv' }],
    ['backup --sql --json', 'backup', {}],
    ['backup list sql --json', 'backup list', {}],
    ['backup verify --sql --json --snapshot 1a2b', 'backup verify', { snapshot: '1a2b' }],
    ['backup schedule sql --daily 03:00 --json', 'backup schedule', { daily: '03:00' }],
    ['restore sql --undo --json', 'restore', { undo: true }],
    ['restore sql --with-tailnet --json', 'restore', { withTailnet: true }],
  ])('%s', (line, name, own) => {
    const request = parse(line.split(' '), [service('sql', 2)], '1');
    if (request.kind !== 'command') throw new Error(request.text);
    expect([request.entry.name, request.flags.json]).toEqual([name, true]);
    expect(request.own).toMatchObject(own);
    expect(request.chosen.map(({ definition }) => definition.name)).toEqual(['sql']);
  });
});

test('what would be done is said, and nothing is done', async () => {
  const device = known();
  const plan = async (run: typeof backup, own: Record<string, unknown>) =>
    (await run(fakeSession({ device, own, flags: { dryRun: true } }).session)).text;
  expect(await plan(backup, { to: '/srv/b' })).toBe('back sql on local up to /srv/b');
  expect(await plan(verify, { snapshot: 'ab' })).toMatch(/restore backup ab of sql into a machine/);
  expect(await plan(schedule, { weekly: '04:30' })).toMatch(/every Sunday at 04:30/);
  expect(await plan(restore, { undo: true })).toMatch(/put the data of sql on local back/);
  expect(await plan(restore, { discard: true })).toBe('give up the data of sql on local that was kept');
  expect(device.did).toEqual([]);
});

test.each([
  [backup, { keepDaily: 'many' }],
  [schedule, {}],
  [schedule, { daily: '03:00', off: true }],
  [schedule, { daily: '3 am' }],
  [restore, { undo: true, snapshot: 'ab' }],
  [restore, { undo: true, discard: true }],
  [restore, { discard: true, of: 'ab' }],
  [restore, { undo: true, withTailnet: true }],
])('a wrong command line is refused', async (run, own) => {
  settings();
  const { session } = fakeSession({ device: known(), own });
  await expect(run(session)).rejects.toMatchObject({ code: 'usage', exit: 2 });
});

test('before a place for backups was chosen, that is what is asked for', async () => {
  settings();
  for (const [run, own] of [
    [listBackup, {}],
    [schedule, { daily: '03:00' }],
    [restore, {}],
  ] as const) {
    const { session } = fakeSession({ device: known(), own });
    await expect(run(session)).rejects.toMatchObject({ code: 'no-repository-chosen', exit: 2 });
  }
});

test('data is not replaced without a yes', async () => {
  settings();
  const device = known();
  const { session } = fakeSession({ device, own: { snapshot: 'ab' } });
  await expect(restore(session)).rejects.toMatchObject({ code: 'not-confirmed', exit: 1 });
  const back = fakeSession({ device, own: { undo: true } }).session;
  await expect(restore(back)).rejects.toMatchObject({ code: 'not-confirmed' });
  const away = fakeSession({ device, own: { discard: true } }).session;
  await expect(restore(away)).rejects.toMatchObject({ code: 'not-confirmed' });
  expect(device.did).toEqual([]);
});

test('undo goes back and waits for health', async () => {
  const device = known();
  const { session } = fakeSession({ device, own: { undo: true }, flags: { yes: true } });
  expect((await restore(session)).json).toMatchObject({ device: 'local', undone: true });
  expect(device.did).toEqual(['undo restore sql', expect.stringMatching(/^wait sql/)]);
});

test('discard gives up what was kept', async () => {
  const device = known();
  const { session } = fakeSession({ device, own: { discard: true }, flags: { yes: true } });
  expect((await restore(session)).json).toMatchObject({ device: 'local', discarded: true });
  expect(device.did).toEqual(['discard kept sql']);
});

test('status tells of a backup that is old', async () => {
  const folder = settings();
  mkdirSync(join(folder, 'devices', 'backup'), { recursive: true });
  mkdirSync(join(folder, 'devices', ID), { recursive: true });
  const last = { at: '2020-01-01T00:00:00.000Z', snapshot: 'ab' };
  writeFileSync(join(folder, 'devices', ID, 'backup.json'), JSON.stringify({ services: { sql: { last } } }));
  const { json, text, exit } = await status(fakeSession({ device: known() }).session);
  expect(json).toMatchObject({ devices: [{ services: [{ backup: { at: last.at } }] }] });
  expect(text).toMatch(/! the last good backup is \d+ days old: sovereign backup sql/);
  expect(exit).toBe(0);
});
