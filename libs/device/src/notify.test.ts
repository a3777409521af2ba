import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { Workstation } from './testing/workstation.ts';

// Runs the real launcher, on a machine that may have other work.
vi.setConfig({ testTimeout: 300_000 });

const ADDRESS = 'https://ntfy.example/planted';

test('who is told lies on the device alone, private, and the next deploy brings what sends', async () => {
  const home = new Workstation();
  const { notify } = home.device;
  await expect(notify.set('ntfy', ADDRESS)).rejects.toMatchObject({ code: 'not-deployed' });
  await home.device.deploy(await home.bundle('healthy'));
  expect(await notify.kind()).toBeUndefined();
  const conf = () => readFileSync(join(home.root, 'device.conf'), 'utf8');
  expect(conf()).not.toContain('gvproxy');

  expect(await notify.set('ntfy', `${ADDRESS}\n`)).toBe('next-deploy');
  const settings = join(home.root, 'notify/settings');
  expect(readFileSync(settings, 'utf8')).toMatch(
    /^schema 1\nntfy https:\/\/ntfy\.example\/planted\ntitle Sovereign on [\x20-\x7e]+\n$/,
  );
  expect(statSync(settings).mode & 0o777).toBe(0o600);
  expect(await notify.kind()).toBe('ntfy');

  const bundle = await home.bundle('healthy');
  await home.device.deploy(bundle);
  const digest = /^gvproxy (\w{64})$/m.exec(conf())?.[1] ?? '';
  expect(existsSync(join(home.root, 'store', digest))).toBe(true);
  expect(Object.values(bundle.release.network?.gvproxy ?? {}).map(({ sha256 }) => sha256)).toContain(digest);

  // What was told, and given up, under other settings, counts no more.
  mkdirSync(join(home.root, 'notify'), { recursive: true });
  const left = ['told', 'tries', 'failed', 'problem'].map((name) => join(home.root, 'notify', name));
  for (const file of left) writeFileSync(file, 'x\n');
  expect(await notify.set('webhook', ADDRESS)).toBe('now');
  expect(left.filter((file) => existsSync(file))).toEqual([]);
  expect(await notify.kind()).toBe('webhook');
  await notify.off();
  expect(await notify.kind()).toBeUndefined();
  expect(existsSync(settings)).toBe(false);
});

test('a reminder is left with a device that has the service, in the place of the one before', async () => {
  const home = new Workstation();
  const { notify } = home.device;
  const file = join(home.root, 'services/sql/reminder');
  const from = new Date('2026-11-29T12:00:00.900Z');
  await notify.remind('sql', { from, text: 'of nothing' });
  expect(existsSync(home.root)).toBe(false);
  await home.device.deploy(await home.bundle('healthy'));
  for (const text of ['of one thing', 'of another']) await notify.remind('sql', { from, text });
  expect(readFileSync(file, 'utf8')).toBe('1795953600 of another\n');
});

test('only a phone has a screen', async () => {
  const home = new Workstation();
  await expect(home.device.notify.set('phone')).rejects.toMatchObject({ code: 'no-screen', exit: 2 });
  expect(existsSync(home.root)).toBe(false);
});

test('what cannot be called is refused, and nothing is changed', async () => {
  const home = new Workstation();
  for (const address of ['planted', 'off', '']) {
    await expect(home.device.notify.set('ntfy', address)).rejects.toMatchObject({
      code: 'bad-address',
      exit: 2,
    });
  }
  expect(existsSync(home.root)).toBe(false);
});
