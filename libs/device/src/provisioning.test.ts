import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Release } from '@sovereign/service';
import { expect, onTestFinished, test, vi } from 'vitest';
import { lacking, provisioningOf, spaceFor } from './provisioning.ts';
import { PhoneFolder } from './testing/phone-folder.ts';
import { definition, Workstation } from './testing/workstation.ts';
import { copyForTrial } from './trial-data.ts';
import { MIB } from './units.ts';

// Each test deploys, on a machine that may have other work.
vi.setConfig({ testTimeout: 180_000 });

const thick = { allocated: true, discard: false };
const thin = { allocated: false, discard: true };

test('what the owner decides holds on every device, and else what devices of its kind have', () => {
  expect(provisioningOf('adb')).toEqual(thick);
  expect(provisioningOf('local')).toEqual({ allocated: false, discard: false });
  for (const kind of ['adb', 'local'] as const) {
    expect(provisioningOf(kind, { disk: 'thin' })).toEqual(thin);
    expect(provisioningOf(kind, { disk: 'thick' })).toEqual(thick);
  }
});

test('a new disk needs all its size, or where it is thin what will be used and some room', () => {
  const size = 4096 * MIB;
  expect(spaceFor(thick, size, 100 * MIB)).toBe(size);
  expect(spaceFor(thin, size)).toBe(256 * MIB);
  expect(spaceFor(thin, size, 1000 * MIB)).toBe(1256 * MIB);
  // Never more than it can hold.
  expect(spaceFor(thin, size, 4000 * MIB)).toBe(size);
  expect(spaceFor(thin, 64 * MIB)).toBe(64 * MIB);
});

test('a disk lacks what it has not taken, where it is to have all', () => {
  const disk = { size: 4096 * MIB, taken: 1096 * MIB };
  expect(lacking(thick, disk)).toBe(3000 * MIB);
  expect(lacking(thin, disk)).toBe(0);
  // With the blocks that say where its blocks are.
  expect(lacking(thick, { size: 4096 * MIB, taken: 4097 * MIB })).toBe(0);
  expect(lacking(thick, undefined)).toBe(0);
});

test('the copy for a trial takes what the disk takes, and on a phone, whose cp fills holes, its length', () => {
  const release = (version: string) => ({ version, data: { kind: 'vault', major: 1 } }) as Release;
  const changing = { ...definition, data: { ...definition.data, changes: 'version' as const } };
  const slots = { current: 'a', trial: undefined, releases: { a: release('1.0') } } as const;
  const disk = { size: 4096 * MIB, taken: 100 * MIB };
  const copy = (kind: 'local' | 'adb', version: string) =>
    copyForTrial({ kind }, changing, slots, release(version), disk);
  expect([copy('local', '1.1'), copy('adb', '1.1'), copy('adb', '1.0')]).toEqual([100 * MIB, 4096 * MIB, 0]);
});

/** A phone with as much free space as is said, in MiB, and a release with a disk of 1 GiB. */
async function phoneWith(free: number) {
  const phone = new PhoneFolder();
  const has = (mebibytes: number): void =>
    phone.program('stat', [
      `case "$*" in -f*) echo "${mebibytes * 256} 4096";; *) exec /usr/bin/toybox stat "$@";; esac`,
    ]);
  has(free);
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  onTestFinished(() => write.mockRestore());
  const bundle = await new Workstation().bundle('healthy', { data: { ...definition.data, size: 1024 } });
  const file = join(phone.root, 'services/sql/data.img');
  return {
    phone,
    has,
    bundle,
    deploy: () => phone.device().deploy(bundle, { consent: true }),
    set: (disk: string | undefined) => phone.device().changeSettings(bundle.definition, { disk }),
    disk: () => {
      const { size, blocks } = statSync(file);
      return { size, isAllocated: blocks * 512 >= size };
    },
    plan: () => /sparse=\w+/.exec(readFileSync(join(phone.root, 'services/sql/a/argv.1'), 'utf8'))?.[0],
  };
}
const noSpace = expect.objectContaining({ code: 'no-space' }) as unknown;

test('a phone that has no room for the disk takes a thin one, and is never left with half a thick one', async () => {
  const { deploy, set, disk, plan, has } = await phoneWith(900);
  await expect(deploy()).rejects.toEqual(noSpace);
  // It is known by now.
  await set('thin');
  expect(await deploy()).toMatchObject({ slot: 'a' });
  expect([disk(), plan()]).toEqual([{ size: 1024 * MIB, isAllocated: false }, 'sparse=true']);
  await set(undefined);
  await expect(deploy()).rejects.toEqual(noSpace);
  expect([disk(), plan()]).toEqual([{ size: 1024 * MIB, isAllocated: false }, 'sparse=true']);
  has(4096);
  await deploy();
  expect([disk(), plan()]).toEqual([{ size: 1024 * MIB, isAllocated: true }, 'sparse=false']);
});

test('a thick disk on a phone becomes a thin one as the guest discards', async () => {
  const { deploy, set, disk, plan } = await phoneWith(4096);
  await deploy();
  expect([disk(), plan()]).toEqual([{ size: 1024 * MIB, isAllocated: true }, 'sparse=false']);
  await set('thin');
  await deploy();
  expect([disk(), plan()]).toEqual([{ size: 1024 * MIB, isAllocated: true }, 'sparse=true']);
});

test('here a service that runs starts anew for it, and `status` says what a thin disk takes', async () => {
  const workstation = new Workstation();
  const { device, root } = workstation;
  const bundle = await workstation.bundle('healthy');
  const file = join(root, 'services/sql/data.img');
  const isAllocated = () => statSync(file).blocks * 512 >= statSync(file).size;
  const isThin = () => readFileSync(join(root, 'services/sql/a/argv.1'), 'utf8').includes('discard=unmap');
  const status = async () => (await device.status([definition]))[0];
  await device.deploy(bundle);
  await device.start(definition);
  await device.waitHealthy(definition, 60);
  expect([isAllocated(), isThin()]).toEqual([false, false]);
  for (const [disk, allocated, discards] of [
    ['thin', false, true],
    ['thick', true, false],
  ] as const) {
    const pid = (await status())?.pid;
    await device.changeSettings(definition, { disk });
    await device.deploy(bundle);
    await device.waitHealthy(definition, 60);
    expect((await status())?.pid).not.toBe(pid);
    expect([isAllocated(), isThin()]).toEqual([allocated, discards]);
    await workstation.host.write('services/sql/state/data', `${64 * MIB} ${32 * MIB}\n`);
    const thinTakes = discards ? { thin: statSync(file).blocks * 512 } : {};
    expect((await status())?.data).toEqual({ size: 64 * MIB, free: 32 * MIB, ...thinTakes });
  }
});

test('where only a start follows, the disk takes its space first', async () => {
  const workstation = new Workstation();
  const { device, root } = workstation;
  const file = join(root, 'services/sql/data.img');
  await device.deploy(await workstation.bundle('healthy'));
  await device.changeSettings(definition, { disk: 'thick' });
  vi.spyOn(workstation.host, 'freeSpace').mockResolvedValueOnce(1);
  await expect(device.start(definition)).rejects.toEqual(noSpace);
  expect((await device.status([definition]))[0]?.state).toBe('stopped');
  await device.start(definition);
  expect(statSync(file).blocks * 512).toBeGreaterThanOrEqual(64 * MIB);
});
