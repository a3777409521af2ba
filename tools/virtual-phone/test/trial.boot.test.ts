import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { releaseId } from '@sovereign/service';
import { openToolRoot } from '@sovereign/tools';
import { builtRoot, rebuildRoot } from 'rootfs-sql/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { whileBuilt } from '../src/built.ts';
import { ownSettings, Phone, PhoneService } from './phone.ts';

// Images are made, and a trial takes its whole deadline.
vi.setConfig({ testTimeout: 600_000 });

/** Seconds that a release has which will not be healthy: enough to boot, and to be ill for a while. */
const DEADLINE = 40;

const settings = ownSettings();
const folder = mkdtempSync(join(tmpdir(), 'sovereign-trials-'));
let phone: Phone;
let sql: PhoneService;

beforeAll(async () => {
  phone = await Phone.start('trial-test');
  sql = await PhoneService.on(phone);
  await sql.up();
  await sql.query("create table kept as select 'a row' as value");
});

afterAll(async () => {
  await phone.stop();
  settings.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** The image that was built, with another program in the place of one of the guest's own. */
async function withProgram(name: string, ...lines: string[]): Promise<string> {
  const overlay = join(folder, `overlay-${name}`, 'usr/lib/sovereign');
  mkdirSync(overlay, { recursive: true });
  writeFileSync(join(overlay, name), ['#!/bin/sh', ...lines, ''].join('\n'), { mode: 0o755 });
  const made = join(folder, name);
  // What is quick to make: it is booted once.
  const erofs = { compression: 'lz4hc', cluster: 64 } as const;
  const other = { overlay: join(folder, `overlay-${name}`), erofs };
  const tools = await openToolRoot();
  await whileBuilt(async () => rebuildRoot(tools, made, (await builtRoot()).base, other));
  return join(made, 'root.erofs');
}

function withoutFileSystem(): string {
  const image = join(folder, 'no-file-system');
  writeFileSync(image, randomBytes(1024 * 1024));
  return image;
}

/** What the first release and its data are after a trial that failed. */
async function expectBefore(why: RegExp): Promise<void> {
  await sql.healthyThere();
  await phone.run('plug');
  const status = await sql.status();
  expect(status).toMatchObject({
    healthy: true,
    trial: false,
    slot: 'a',
    release: releaseId(sql.bundle.release),
  });
  expect(status.attention).toMatch(why);
  expect(await sql.query('select value from kept')).toEqual([{ value: 'a row' }]);
}

test.for([
  ['panics', withoutFileSystem, /taken back/],
  [
    'boots, and never answers',
    () => withProgram('agent', 'exec sleep 3600'),
    /taken back: not healthy within 40 s, last stage: none/,
  ],
  [
    'answers wrongly',
    () => withProgram('health', 'echo "select 1 gave 2"', 'exit 1'),
    /taken back: not healthy within 40 s, last stage: \w+/,
  ],
] as const)(
  'a release that %s is taken back with adb unplugged, and status says so afterwards',
  async ([, image, why]) => {
    const bundle = await sql.withRoot(await image());
    const health = { ...sql.definition.health, deadline: DEADLINE };
    await sql.device.deploy({ ...bundle, definition: { ...bundle.definition, health } });
    await sql.device.start(sql.definition);
    await phone.run('unplug');
    await sql.until('the trial to end', (told) => told['sql trial'] === undefined, 240);
    await expectBefore(why);
  },
);

test('a phone that restarts twice during a trial goes back to the release before', async () => {
  await sql.device.deploy(await sql.padded(folder));
  await sql.device.start(sql.definition);
  await phone.run('unplug');
  for (let restart = 0; restart < 2; restart++) {
    // Only a boot of the phone in which the launcher came to try it counts.
    await sql.until(
      'the release on trial to be started',
      (told) => told['sql trial'] === 'yes' && told['sql pid'] !== undefined,
    );
    await phone.run('reboot');
  }
  await expectBefore(/restarted 2 times/);
});
