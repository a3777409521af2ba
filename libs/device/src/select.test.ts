import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';
import { rememberDevice } from './device-settings.ts';
import { serviceSecrets } from './secrets.ts';
import { listDevices, selectDevice, usedDevices } from './select.ts';
import { AdbServerStandIn } from './testing/adb-server.ts';
import { definition } from './testing/workstation.ts';

/** No adb server, no test phones, no adb to start. */
const nothing = { env: { ANDROID_ADB_SERVER_PORT: '1' }, announced: '/nowhere' };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sovereign-select-'));
  vi.stubEnv('XDG_CONFIG_HOME', join(folder, 'config'));
  vi.stubEnv('XDG_DATA_HOME', join(folder, 'data'));
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  return () => {
    write.mockRestore();
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
  };
});

interface Phone {
  serial: string;
  state?: string;
  /** Its own id, where somebody deployed to it. */
  id?: string;
  /** Whether this workstation knows that id. */
  known?: boolean;
  services?: string[];
}

/** Phones whose shell runs on this machine, and what `selectDevice` needs to find them. */
async function attached(...phones: Phone[]) {
  const server = new AdbServerStandIn(
    phones.map(({ serial, state = 'device', id, services = [] }) => {
      const root = join(folder, serial);
      mkdirSync(join(root, 'agent', 'digest'), { recursive: true });
      if (id !== undefined) {
        writeFileSync(join(root, 'device.json'), JSON.stringify({ schema: 1, id }));
        writeFileSync(join(root, 'agent', 'current'), 'digest\n');
        const lines = services.map((service) => `echo "${service} state running"\n`);
        writeFileSync(join(root, 'agent', 'digest', 'launch.sh'), lines.join(''));
      }
      // The device's folder is fixed on a phone; here it lies in the test's own.
      const shell = [
        'mksh',
        '-c',
        `c=$(printf '%s' "$1" | sed 's|/data/sovereign|${root}|g'); exec mksh -c "$c"`,
        'sh',
      ];
      return { serial, state, shell, env: { PATH: '/usr/bin:/bin' } };
    }),
  );
  for (const { serial, id, known = id !== undefined } of phones) {
    if (id === undefined || !known) continue;
    await serviceSecrets(id, definition);
    await rememberDevice(id, { serial });
  }
  return { env: { ANDROID_ADB_SERVER_PORT: String(await server.listen()) }, announced: '/nowhere' };
}

const ONE = '7d0d8f0e-3a0c-4a8e-9a49-1d6a3f0d2c11';
const TWO = '8e1e9f1f-4b1d-4b9f-8b5a-2e7b4f1e3d22';

test('this machine is a device, and the default', async () => {
  expect((await listDevices(nothing)).map(({ id, kind }) => [id, kind])).toEqual([['local', 'local']]);
  expect((await selectDevice(nothing)).id).toBe('local');
  const env = { ...nothing.env, ANDROID_SERIAL: 'phone' };
  expect((await selectDevice({ ...nothing, serial: 'local', env })).id).toBe('local');
});

test('a serial is looked for through adb, which has to be there', async () => {
  await expect(selectDevice({ ...nothing, serial: 'phone' })).rejects.toMatchObject({
    code: 'no-adb',
    exit: 4,
  });
});

test('a phone that was never used is chosen by its serial alone', async () => {
  const search = await attached({ serial: 'new' });
  expect((await selectDevice({ ...search, services: ['sql'] })).id).toBe('local');
  expect((await selectDevice({ ...search, serial: 'new' })).id).toBe('new');
  const env = { ...search.env, ANDROID_SERIAL: 'new' };
  expect((await selectDevice({ ...search, env })).id).toBe('new');
  expect((await usedDevices(search)).map(({ id }) => id)).toEqual(['local']);
  expect((await listDevices(search)).map(({ id }) => id)).toEqual(['local', 'new']);
});

test('the only phone that was prepared before is meant, before this machine', async () => {
  const search = await attached({ serial: 'mine', id: ONE }, { serial: 'new' });
  expect((await selectDevice({ ...search, services: ['sql'] })).id).toBe('mine');
  expect((await usedDevices(search)).map(({ id }) => id)).toEqual(['local', 'mine']);
});

test('the device that has the service is meant, before any other', async () => {
  const search = await attached(
    { serial: 'one', id: ONE, services: ['sql'] },
    { serial: 'two', id: TWO, services: ['forge'] },
  );
  expect((await selectDevice({ ...search, services: ['sql'] })).id).toBe('one');
  expect((await selectDevice({ ...search, services: ['forge'] })).id).toBe('two');
});

test.for([
  [['sql'], ['sql']],
  [[], []],
])('several that fit are exit 4, and all are named', async ([first = [], second = []]) => {
  const search = await attached(
    { serial: 'one', id: ONE, services: first },
    { serial: 'two', id: TWO, services: second },
  );
  await expect(selectDevice({ ...search, services: ['sql'] })).rejects.toMatchObject({
    code: 'which-device',
    exit: 4,
    what: 'several devices fit: one, two',
  });
});

test('one phone that is attached twice, over a cable and over the network, is one device', async () => {
  const search = await attached(
    { serial: 'cable', id: ONE, services: ['sql'] },
    { serial: '192.0.2.7:5555', id: ONE, services: ['sql'] },
  );
  expect((await selectDevice({ ...search, services: ['sql'] })).id).toBe('cable');
  expect((await usedDevices(search)).map(({ id }) => id)).toEqual(['local', 'cable']);
});

test('where this machine is meant, a phone under a serial never seen before is told of', async () => {
  const search = await attached({ serial: 'new', id: ONE, known: false, services: ['sql'] });
  const write = vi.spyOn(process.stderr, 'write');
  expect((await selectDevice({ ...search, services: ['sql'] })).id).toBe('local');
  expect(write.mock.calls.map(([text]) => String(text)).join('')).toContain('never used from here: new');
});

test('a phone under a known serial that is another one by now is not meant', async () => {
  const search = await attached({ serial: 'mine', id: ONE, known: false, services: ['sql'] });
  await serviceSecrets(TWO, definition);
  await rememberDevice(TWO, { serial: 'mine' });
  expect((await selectDevice({ ...search, services: ['sql'] })).id).toBe('local');
});

test('a known phone that cannot be asked may be the one that is meant', async () => {
  const search = await attached({ serial: 'mine', id: ONE, state: 'offline' });
  const device = await selectDevice({ ...search, services: ['sql'] });
  expect(device.id).toBe('mine');
  await expect(device.inventory()).rejects.toMatchObject({ code: 'adb-offline', exit: 4 });
});
