import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KitFiles } from '@sovereign/device';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { fakeSession } from '../testing/session.ts';
import { exportKit, importKit } from './recovery-kit.ts';

// A real kit takes the second that a passphrase is to take.
vi.mock('../device.ts', async (original) => ({
  ...(await original<typeof import('../device.ts')>()),
  deviceLibrary: async () => {
    const library = await import('@sovereign/device');
    return {
      ...library,
      sealKit: (files: KitFiles, passphrase: string) => library.sealKit(files, passphrase, 8),
    };
  },
}));

const ID = 'ae68548e-2a00-4a57-b017-a6159da74307';

let folder: string;
let kit: string;
let secrets: string;
let passphraseFile: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sovereign-kit-'));
  vi.stubEnv('XDG_CONFIG_HOME', folder);
  kit = join(folder, 'sovereign.kit');
  passphraseFile = join(folder, 'passphrase');
  const device = join(folder, 'sovereign/devices', ID);
  mkdirSync(device, { recursive: true });
  secrets = join(device, 'secrets.json');
  writeFileSync(secrets, 'planted');
  writeFileSync(passphraseFile, 'six random words are good\n');
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const session = (flags = {}) => fakeSession({ words: [kit], own: { passphraseFile }, flags }).session;

test('a kit is written for its owner alone, and brings back what was lost', async () => {
  expect((await exportKit(session())).json).toEqual({ file: kit, devices: [ID], files: 1 });
  expect(statSync(kit).mode & 0o777).toBe(0o600);
  expect(readFileSync(kit, 'latin1')).not.toContain('planted');
  rmSync(join(folder, 'sovereign'), { recursive: true });
  const { json, text } = await importKit(session());
  expect(json).toEqual({ devices: [ID], missing: [`devices/${ID}/secrets.json`], differing: [] });
  expect(text).toBe('taken over: 1 device');
  expect(readFileSync(secrets, 'utf8')).toBe('planted');
  expect((await importKit(session())).text).toContain('nothing to take over');
});

test('nothing is replaced without a yes: no kit, and nothing that differs', async () => {
  await exportKit(session());
  await expect(exportKit(session())).rejects.toMatchObject({ code: 'not-confirmed' });
  writeFileSync(secrets, 'newer');
  await expect(importKit(session())).rejects.toMatchObject({ code: 'not-confirmed' });
  expect(readFileSync(secrets, 'utf8')).toBe('newer');
  expect((await importKit(session({ dryRun: true }))).text).toBe(`replace devices/${ID}/secrets.json`);
  expect(readFileSync(secrets, 'utf8')).toBe('newer');
  await importKit(session({ yes: true }));
  expect(readFileSync(secrets, 'utf8')).toBe('planted');
});

test('a wrong passphrase and a missing file are clear, and change nothing', async () => {
  await exportKit(session());
  writeFileSync(secrets, 'newer');
  writeFileSync(passphraseFile, 'another one altogether');
  await expect(importKit(session({ yes: true }))).rejects.toMatchObject({
    code: 'wrong-passphrase',
    on: kit,
  });
  rmSync(kit);
  await expect(importKit(session({ yes: true }))).rejects.toMatchObject({ code: 'usage', exit: 2, on: kit });
  expect(readFileSync(secrets, 'utf8')).toBe('newer');
});

test('--dry-run writes no kit', async () => {
  expect((await exportKit(session({ dryRun: true }))).json).toHaveProperty('plan');
  expect(existsSync(kit)).toBe(false);
});
