import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Host } from './host.ts';
import { describeSize, parseSize, resizeDataDisk, type Lifecycle } from './resize.ts';
import { PhoneFolder } from './testing/phone-folder.ts';
import { definition, Workstation } from './testing/workstation.ts';
import { MIB } from './units.ts';

// Each test deploys, on a machine that may have other work.
vi.setConfig({ testTimeout: 180_000 });

/** A service of which is remembered what it was asked to do. */
function service(wanted = true): Lifecycle & { did: string[]; wanted: boolean } {
  const state = {
    wanted,
    did: [] as string[],
    isWanted: () => Promise.resolve(state.wanted),
    stop: () => {
      state.did.push('stop');
      state.wanted = false;
      return Promise.resolve();
    },
    start: () => {
      state.did.push('start');
      state.wanted = true;
      return Promise.resolve();
    },
  };
  return state;
}

/** A deployed service with a disk of 64 MiB. */
async function deployed() {
  const workstation = new Workstation();
  await workstation.device.deploy(await workstation.bundle('healthy'));
  const { host } = workstation;
  const file = (name: string) => join(host.root, 'services/sql', name);
  return { workstation, host, file, size: () => statSync(file('data.img')).size };
}

const resize = (host: Host, mebibytes: number, lifecycle: Lifecycle) =>
  resizeDataDisk(host, definition, mebibytes * MIB, lifecycle);

test('a size is a number with M or G, and printed as it is read', () => {
  expect([parseSize('512M'), parseSize('8G'), parseSize('8gib')]).toEqual([
    512 * MIB,
    8192 * MIB,
    8192 * MIB,
  ]);
  expect([describeSize(8192 * MIB), describeSize(96 * MIB)]).toEqual(['8G', '96M']);
});

test('a running service is stopped, its disk grows with what is on it, and it is started again', async () => {
  const { host, file, size } = await deployed();
  const before = readFileSync(file('data.img')).subarray(0, 4096);
  await host.write('services/sql/state/data', '67108864 0\n');
  const sql = service();
  expect(await resize(host, 128, sql)).toEqual({ from: 64 * MIB, to: 128 * MIB, started: true });
  expect(sql.did).toEqual(['stop', 'start']);
  expect(size()).toBe(128 * MIB);
  expect(readFileSync(file('data.img')).subarray(0, 4096).equals(before)).toBe(true);
  for (const gone of ['resize', 'state/data']) expect(existsSync(file(gone))).toBe(false);
  // Once more: nothing to do.
  expect(await resize(host, 128, sql)).toEqual({ from: 128 * MIB, to: 128 * MIB, started: false });
  expect(sql.did).toEqual(['stop', 'start']);
});

test('a service that was stopped stays so', async () => {
  const { host, size } = await deployed();
  const sql = service(false);
  expect(await resize(host, 128, sql)).toMatchObject({ started: false });
  expect(sql.did).toEqual(['stop']);
  expect(size()).toBe(128 * MIB);
});

test('through the device, with a machine that runs', async () => {
  const { workstation, size } = await deployed();
  const { device } = workstation;
  await expect(device.resize({ ...definition, name: 'other' }, 128 * MIB)).rejects.toMatchObject({
    code: 'not-deployed',
  });
  await device.start(definition);
  await device.waitHealthy(definition, 60);
  const pid = async () => (await device.status([definition]))[0]?.pid;
  const first = await pid();
  expect(await device.resize(definition, 128 * MIB)).toMatchObject({ started: true });
  await device.waitHealthy(definition, 60);
  expect(await pid()).not.toBe(first);
  expect(size()).toBe(128 * MIB);
});

describe('refused before anything is stopped', () => {
  test.each([
    ['a smaller disk', 63, 'cannot-shrink', 2],
    ['a growth that the file system would not follow', 80, 'too-little', 2],
    ['more than is free', 512 * 1024 * 1024, 'no-space', 1],
  ])('%s', async (_name, mebibytes, code, exit) => {
    const { host, size, file } = await deployed();
    const sql = service();
    await expect(resize(host, mebibytes, sql)).rejects.toMatchObject({ code, exit });
    expect(sql.did).toEqual([]);
    expect(size()).toBe(64 * MIB);
    expect(existsSync(file('resize'))).toBe(false);
  });

  test('a disk that is not there', async () => {
    const { host } = await deployed();
    await host.remove('services/sql/data.img');
    await expect(resize(host, 128, service())).rejects.toMatchObject({ code: 'data-missing' });
  });
});

test('a disk whose file system is being made keeps the mark that says so', async () => {
  const { host, size, file } = await deployed();
  const disk = readFileSync(file('data.img'));
  disk.write('sovereign-formatting 1234\n', 64 * MIB - 65_536);
  writeFileSync(file('data.img'), disk);
  await expect(resize(host, 128, service(false))).rejects.toMatchObject({ code: 'disk-not-made' });
  expect(size()).toBe(64 * MIB);
});

describe('on a phone', () => {
  async function phoneWithDisk() {
    const workstation = new Workstation();
    const phone = new PhoneFolder();
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    onTestFinished(() => write.mockRestore());
    await phone.device().deploy(await workstation.bundle('healthy'), { consent: true });
    return { phone, disk: join(phone.root, 'services/sql/data.img') };
  }

  test('the new space is allocated in full', async () => {
    const { phone, disk } = await phoneWithDisk();
    await resize(phone.host(), 128, service());
    const { size, blocks } = statSync(disk);
    expect(size).toBe(128 * MIB);
    expect(blocks * 512).toBeGreaterThanOrEqual(128 * MIB);
    expect(readFileSync(disk).toString('latin1', 0, 14)).toBe('sovereign-new ');
  });

  test.for(['before', 'after'] as const)(
    'cut off at any round trip (%s it), the next run ends it, and starts what was running',
    async (when) => {
      const { phone, disk } = await phoneWithDisk();
      let size = 64;
      let cuts = 0;
      for (let at = 1; ; at++) {
        size += 32;
        const sql = service();
        phone.count = 0;
        phone.cut = { at, when };
        const cut = await resize(phone.host(), size, sql).then(
          () => false,
          () => true,
        );
        phone.cut = undefined;
        if (!cut) break;
        cuts += 1;
        await resize(phone.host(), size, sql);
        expect({ size: statSync(disk).size, wanted: sql.wanted }).toEqual({ size: size * MIB, wanted: true });
        expect(existsSync(join(phone.root, 'services/sql/resize'))).toBe(false);
      }
      expect(cuts).toBeGreaterThan(5);
    },
  );
});
