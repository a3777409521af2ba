import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from 'vitest';
import { type DeviceFolder, type Shell, shells } from './testing/device-folder.ts';
import { PATIENT, test } from './testing/launcher-test.ts';

/** Stands in for the program that sends, which packages/network tests: what it is given is in `sent`. */
const SENDER = `#!/bin/sh
cd "\${0%/store/*}"
read -r message
if [ -e refuses ]; then
  echo "$message" >>refused
  echo '2026/11/28 gvproxy: not sent: it answers with status 500' >&2
  exit 1
fi
echo "$* $message" >>sent
`;

/**
 * Makes the owner of this device one who is told, with pauses that are none and a look ahead in every round. Gives the
 * device its settings.
 */
function tellOwner(device: DeviceFolder): { network: string; gvproxy: string } {
  const digest = createHash('sha256').update(SENDER).digest('hex');
  for (const folder of ['store', 'notify']) mkdirSync(join(device.root, folder), { recursive: true });
  const path = join(device.root, 'store', digest);
  writeFileSync(path, SENDER);
  chmodSync(path, 0o755);
  const settings = { network: 'user', gvproxy: digest };
  device.settings(settings);
  device.install('hurried', { notify_rest: ':', soon_due: ':' });
  writeFileSync(join(device.root, 'notify', 'settings'), 'schema 1\nntfy https://ntfy.example/planted\n');
  return settings;
}

const lines = (device: DeviceFolder, name: string): string[] => {
  const path = join(device.root, name);
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
};
const sent = (device: DeviceFolder) => lines(device, 'sent');
const message = (text: string) => `-notify settings ${text}`;
const WELL = message('nothing needs attention any more');

describe.concurrent.for(Object.keys(shells) as Shell[])('under %s', { timeout: 300_000 }, (shell) => {
  test('each thing that needs attention is one message, and so is its end', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    tellOwner(device);
    await device.start();
    await device.until({ state: 'running', health: 'ok' });
    device.write('state/attention', 'the new release was taken back: "not" healthy\n');
    await expect
      .poll(() => sent(device), PATIENT)
      .toEqual([message('sql: the new release was taken back: "not" healthy')]);
    // Whoever begins anew has told it.
    const { keeper } = await device.status('-');
    process.kill(Number(keeper), 'SIGKILL');
    await expect.poll(async () => (await device.status('-')).keeper ?? keeper, PATIENT).not.toBe(keeper);
    rmSync(join(device.service, 'state/attention'));
    await expect.poll(() => sent(device), PATIENT).toHaveLength(2);
    expect(sent(device)[1]).toBe(WELL);
  });

  test('a service that is given up is the last word, and is told all the same', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'dies', { restarts: '0' });
    tellOwner(device);
    await device.start();
    await device.until({ state: 'failed' });
    await expect
      .poll(() => sent(device), PATIENT)
      .toEqual([expect.stringContaining('sql: gave up after 1 starts')]);
    await expect.poll(() => device.processes(), PATIENT).toEqual([]);
  });

  test('who is not reached is tried six times, then it is said, and the next thing is tried again', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    tellOwner(device);
    writeFileSync(join(device.root, 'refuses'), '');
    await device.start();
    await device.until({ state: 'running', health: 'ok' });
    device.write('state/attention', 'one\n');
    await expect.poll(() => existsSync(join(device.root, 'notify/failed')), PATIENT).toBe(true);
    expect(lines(device, 'refused')).toEqual(Array<string>(6).fill('sql: one'));
    expect((await device.status('-')).attention).toBe(
      'the message of this was not sent: it answers with status 500',
    );
    // The service was none the worse.
    expect(await device.status()).toMatchObject({ state: 'running', health: 'ok' });
    rmSync(join(device.root, 'refuses'));
    device.write('state/attention', 'other\n');
    await expect.poll(() => sent(device), PATIENT).toEqual([message('sql: other')]);
    expect(lines(device, 'refused')).toHaveLength(6);
    // Written down a moment after it was sent.
    await expect.poll(async () => (await device.status('-')).attention, PATIENT).toBeUndefined();
    expect(readFileSync(join(device.root, 'notify/log'), 'utf8')).not.toContain('planted');
  });

  test('what will need attention soon is told once each, whatever else changes', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    tellOwner(device);
    await device.start();
    await device.until({ state: 'running', health: 'ok' });
    const told: string[] = [];
    const tells = async (text: string) => {
      told.push(text === '' ? WELL : message(text));
      await expect.poll(() => sent(device), PATIENT).toEqual(told);
    };
    const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();
    const epoch = () => Math.floor(Date.now() / 1000);
    device.write('state/data', '8000000000000 900000000000\n');
    device.write('reminder', `${epoch() + 86_400} nobody is told of this\n`);
    const node = (expiry: string) => `running 100.64.0.1 sql-desk.tail.example ${expiry} n1\n`;
    device.write('state/tailnet', node(inDays(29)));
    const key = `sql: its node's key in the tailnet ends on ${inDays(29).slice(0, 10)}`;
    await tells(key);
    // A tenth, in bytes that no shell of 32 bits can count; it goes up to more, and it is still the same word.
    device.write('state/data', '8000000000000 799000000000\n');
    await tells(key.replace('sql: ', 'sql: the data disk is nearly full; '));
    device.write('state/data', '8000000000000 1100000000000\n');
    device.write('state/tailnet', node('never'));
    await tells('sql: the data disk is nearly full');
    device.write('state/data', '8000000000000 1300000000000\n');
    await tells('');
    device.write('state/https', `on vault.example ${inDays(40)} own\n`);
    device.write('state/data', '90000 700\n');
    device.write('reminder', `${epoch() - 10} the last good backup is of 2026-11-01\n`);
    await tells('sql: the last good backup is of 2026-11-01');
    device.write('state/https', `on vault.example ${inDays(20)} own\n`);
    await tells(
      `sql: its certificate ends on ${inDays(20).slice(0, 10)}; the last good backup is of 2026-11-01`,
    );
  });

  test('a platform that changed since the last deploy is told, until the next one', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    tellOwner(device);
    writeFileSync(join(device.root, 'platform.sh'), `cat '${join(device.root, 'runs on')}'\n`);
    for (const name of ['runs on', 'platform']) writeFileSync(join(device.root, name), 'new\n');
    await device.start();
    await device.until({ state: 'running', health: 'ok' });
    device.write('state/attention', 'one\n');
    await expect.poll(() => sent(device), PATIENT).toEqual([message('sql: one')]);
    device.write('../../platform', 'old\n');
    await expect
      .poll(() => sent(device).slice(1), PATIENT)
      .toEqual([expect.stringMatching(/ sql: one; this device: platform changed: .*deploy again/)]);
    device.write('../../platform', 'new\n');
    await expect.poll(() => sent(device).slice(2), PATIENT).toEqual([message('sql: one')]);
  });

  test('a phone shows it on its screen, beside what is sent or alone', async ({ expect, service }) => {
    const device = service(shell, 'healthy');
    device.asPhone(tellOwner(device));
    const shown = (text: string) => `notification post -S bigtext -t Sovereign on a phone sovereign ${text}`;
    await device.start();
    await device.until({ state: 'running', health: 'ok' });
    writeFileSync(join(device.root, 'refuses'), '');
    device.write('state/attention', 'one\n');
    await expect.poll(() => existsSync(join(device.root, 'notify/failed')), PATIENT).toBe(true);
    // Once, however often the message had to be tried.
    expect(lines(device, 'asked')).toEqual([shown('sql: one').replace(' on a phone', '')]);
    writeFileSync(join(device.root, 'notify/settings'), 'schema 1\nphone yes\ntitle Sovereign on a phone\n');
    device.write('state/attention', '-t "two"\n');
    await expect.poll(() => lines(device, 'asked').slice(1), PATIENT).toEqual([shown('sql: -t "two"')]);
    await expect.poll(() => lines(device, 'notify/told'), PATIENT).toEqual(['sql: -t "two"']);
    expect(sent(device)).toEqual([]);
    device.program('cmd', 'echo "error: permission denied" >&2; exit 255');
    device.write('state/attention', 'three\n');
    await expect
      .poll(async () => (await device.status('-')).attention, PATIENT)
      .toBe('the message of this was not sent: Android does not show it: error: permission denied');
  });

  test('nothing is sent where the owner did not ask for it, nor by a program that is damaged', async ({
    expect,
    service,
  }) => {
    const device = service(shell, 'healthy');
    tellOwner(device);
    const settings = join(device.root, 'notify/settings');
    const asked = readFileSync(settings);
    rmSync(settings);
    await device.start();
    await device.until({ state: 'running', health: 'ok' });
    device.write('state/attention', 'one\n');
    const { gvproxy = '' } = Object.fromEntries(
      lines(device, 'device.conf').map((line) => line.split(' ')),
    ) as Record<string, string>;
    writeFileSync(join(device.root, 'store', gvproxy), `${SENDER}# other\n`);
    writeFileSync(settings, asked);
    await expect
      .poll(async () => (await device.status('-')).attention, PATIENT)
      .toBe('the message of this was not sent: the program that sends is damaged: deploy again');
    expect(sent(device)).toEqual([]);
  });
});
