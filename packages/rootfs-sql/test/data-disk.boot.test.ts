import { randomUUID } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { execInGuest } from '@sovereign/device';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestService } from './service.ts';

let service: TestService;

beforeAll(async () => {
  service = await TestService.prepare();
  await service.device.changeSettings(service.definition, { disk: 'thin' });
  await service.device.deploy(service.bundle);
});

afterAll(() => service.remove());

async function inGuest(script: string): Promise<{ status: number; stdout: string }> {
  return execInGuest(await service.device.ssh(service.definition), ['sh', '-c', script]);
}

test('a power cut during the first initialisation leaves a disk that the next boot completes', async () => {
  await service.device.start(service.definition);
  const began = async () => (await service.text('state/stage')) === 'initialise';
  await service.until('the first initialisation to begin', began, 50);
  const { pid } = await service.status();
  if (pid === null) throw new Error('no VM to kill');
  process.kill(pid, 'SIGKILL');
  await service.until('the VM to be gone', async () => (await service.status()).pid !== pid);
  await service.device.waitHealthy(service.definition, service.definition.health.deadline);
  await service.query("create table kept as select 'a row' as value");
});

test('what is deleted on a thin disk goes back to the device', async () => {
  const taken = async () => Math.floor(((await stat(service.file('data.img'))).blocks * 512) / 2 ** 20);
  // What the guest does once a day.
  const trim = 'sync && cd /usr/lib/sovereign && . ./common.sh && . ./trim.sh && trim_now';
  // What the initialisation that was cut had written is free by now, and would be used again.
  expect(await inGuest(trim)).toMatchObject({ status: 0 });
  const before = await taken();
  await inGuest('dd if=/dev/zero of=/data/deleted bs=1M count=200 conv=fsync');
  expect(await taken()).toBeGreaterThanOrEqual(before + 200);
  expect((await service.status()).data?.thin).toBeGreaterThan(200 * 2 ** 20);
  expect(await inGuest(`rm /data/deleted && ${trim}`)).toMatchObject({ status: 0 });
  expect(await taken()).toBeLessThan(before + 100);
});

describe('a disk that is not this service’s stops the service, which says why and changes nothing', () => {
  /** Starts the services again and gives the reason that the guest gives. */
  const refusal = `
    rc-service data start >/dev/null 2>&1 && { echo 'it was mounted'; exit 1; }
    rc-service postgresql start >/dev/null 2>&1 && { echo 'the server runs'; exit 1; }
    grep -q ' /data ' /proc/mounts && { echo 'something is mounted'; exit 1; }
    cat /run/sovereign/down; rm /run/sovereign/down`;
  // The health watch looks for the server's files there every second: for that moment the disk is busy. A stop that meets
  // it leaves the disk mounted, for reading alone.
  const unmount = `timeout 30 sh -c "while grep -q ' /data ' /proc/mounts; do umount /data || sleep 0.1; done"`;
  const stop = `rc-service data stop && ${unmount}`;
  const edited = (change: string) => ({
    take: `mount /dev/vdb /data && cp /data/sovereign.json /run/kept && sed -i '${change}' /data/sovereign.json && ${unmount}`,
    put: `mount /dev/vdb /data && cp /run/kept /data/sovereign.json && ${unmount}`,
  });
  const block = (source: string) => ({
    take: `dd if=/dev/vdb of=/run/kept bs=4096 count=1 && dd if=${source} of=/dev/vdb bs=4096 count=1 conv=notrunc,fsync`,
    put: 'dd if=/run/kept of=/dev/vdb bs=4096 count=1 conv=notrunc,fsync',
  });
  const settings = (change: string) => ({
    take: `cp /run/sovereign/config/guest.conf /run/kept && sed -i '${change}' /run/sovereign/config/guest.conf`,
    put: 'cp /run/kept /run/sovereign/config/guest.conf',
  });

  beforeAll(async () => {
    // Each stop waits for what it stops; the disk is the guest's alone while its services are down.
    expect(await inGuest(stop)).toMatchObject({ status: 0 });
  });

  test.each([
    ['zeroed', block('/dev/zero'), /^data missing: .*found: nothing/],
    ['full of garbage', block('/dev/urandom'), /^data missing/],
    [
      'another file system',
      {
        take: 'dd if=/dev/vdb of=/dev/shm/kept bs=1M count=16 && busybox mkdosfs /dev/vdb',
        put: 'dd if=/dev/shm/kept of=/dev/vdb bs=1M conv=notrunc,fsync && rm /dev/shm/kept',
      },
      /^data missing/,
    ],
    [
      'the disk of another service',
      settings(`s/^data-uuid .*/data-uuid ${randomUUID()}/`),
      /^data missing: .*found: ext4/,
    ],
    [
      'marked as new for another service',
      {
        take: `dd if=/dev/vdb of=/run/kept bs=4096 count=1 && { echo 'sovereign-new ${randomUUID()}'; dd if=/dev/zero bs=4096 count=1; } | dd of=/dev/vdb bs=4096 count=1 iflag=fullblock conv=notrunc,fsync`,
        put: 'dd if=/run/kept of=/dev/vdb bs=4096 count=1 conv=notrunc,fsync',
      },
      /^data missing/,
    ],
    ['of another kind', edited('s/"postgresql"/"mariadb"/'), /^data foreign: it holds mariadb/],
    ['of a newer major version', edited('s/"major": 17/"major": 18/'), /^data too new: .*18/],
    ['of an older major version', edited('s/"major": 17/"major": 16/'), /^data too old: .*16/],
    ['sorted by another collation', edited('s/builtin C.UTF-8/icu 153/'), /^data foreign: sorted by icu 153/],
    [
      'made by another base',
      edited('s/"base": "[a-z]*"/"base": "other"/'),
      /^data foreign: made by the base other/,
    ],
    ['of a newer schema', edited('s/"schema": 1/"schema": 2/'), /^data too new: .*schema 2/],
    ['without a readable record', edited('s/"major": 17/"major": x/'), /^data damaged/],
    [
      'damaged beyond what is repaired without asking',
      {
        take: `${block('/dev/vdb').take} && printf '\\377' | dd of=/dev/vdb bs=1 seek=1121 conv=notrunc,fsync`,
        put: block('/dev/vdb').put,
      },
      /^data damaged: .*does not mount/,
    ],
    [
      'initialised once, and without its cluster',
      {
        take: `mount /dev/vdb /data && mv /data/postgresql/17 /data/kept && ${unmount}`,
        put: `{ ${stop}; } >/dev/null 2>&1; mount /dev/vdb /data && mv /data/kept /data/postgresql/17 && ${unmount}`,
      },
      undefined,
    ],
  ])('%s', async (_name, { take, put }, reason) => {
    expect(await inGuest(`{ ${take}; } >/dev/null 2>&1`)).toMatchObject({ status: 0 });
    try {
      if (reason === undefined) {
        // Mounted, because it is the right disk; the service itself refuses to begin anew.
        const { stdout } = await inGuest(
          'rc-service postgresql start >/dev/null 2>&1 && echo running; cat /run/sovereign/down; rm /run/sovereign/down; ls /data/postgresql',
        );
        expect(stdout).toMatch(/^data missing: the disk was initialised once[^\n]*\n$/);
      } else expect((await inGuest(refusal)).stdout).toMatch(reason);
    } finally {
      expect(await inGuest(`{ ${put}; } >/dev/null 2>&1`)).toMatchObject({ status: 0 });
    }
  });

  test.each([
    ['too small', 'echo 2048 >/tmp/sys/block/vdb/size', /^data too small: the disk has 1048576 bytes/],
    ['not there', 'rm -r /tmp/sys/block', /^data missing: no disk/],
  ])('%s', async (_name, change, reason) => {
    const { stdout } = await inGuest(`
      mkdir -p /tmp/sys/block/vdb && printf sov-data >/tmp/sys/block/vdb/serial
      cat /sys/block/vdb/size >/tmp/sys/block/vdb/size && ${change}
      export SOVEREIGN_SYS=/tmp/sys; . /usr/lib/sovereign/common.sh; . /usr/lib/sovereign/data.sh
      data_attach; rm -r /tmp/sys`);
    expect(stdout).toMatch(reason);
  });

  test('a disk that the kernel found errors on is repaired before it is used', async () => {
    const { status, stdout } = await inGuest(`
      mount /dev/vdb /data && echo test >/sys/fs/ext4/vdb/trigger_fs_error && ${unmount}
      rc-service data start >/run/repair 2>&1 && cat /sys/fs/ext4/vdb/errors_count /run/repair
      { ${stop}; } >/dev/null 2>&1`);
    expect({ status, stdout }).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^0\n[^]*check forced/) as string,
    });
  });

  test('and after all that the data is as it was', async () => {
    await inGuest('rc-service data start && rc-service postgresql start');
    expect(await service.query('select value from kept')).toEqual([{ value: 'a row' }]);
  });
});

test('a zeroed disk fails the start with its reason, and is never an empty, healthy database', async () => {
  await service.device.stop(service.definition, 60);
  const disk = await open(service.file('data.img'), 'r+');
  const kept = Buffer.alloc(4096);
  try {
    await disk.read(kept, 0, 4096, 0);
    await disk.write(Buffer.alloc(4096), 0, 4096, 0);
    await disk.sync();
    await service.device.start(service.definition);
    await service.until('bad health', async () => (await service.text('state/health')).startsWith('bad'));
    expect(await service.text('state/health')).toMatch(/data missing/);
    expect((await service.status()).healthy).toBe(false);
    await service.device.stop(service.definition, 60);
    const after = Buffer.alloc(4096);
    await disk.read(after, 0, 4096, 0);
    expect(after.equals(Buffer.alloc(4096))).toBe(true);
    // What was lost is found again: everything is there.
    await disk.write(kept, 0, 4096, 0);
    await disk.sync();
  } finally {
    await disk.close();
  }
  await service.up();
  expect(await service.query('select value from kept')).toEqual([{ value: 'a row' }]);
});

test('a full disk is named with its cure, loses nothing, and serves again when it has grown', async () => {
  // What is left of a disk of 2 GiB is taken by something else, so that rows fill it soon.
  await inGuest('set -- $(stat -f -c "%a %S" /data) && fallocate -l $(($1 * $2 - 24 * 1048576)) /data/taken');
  await service.query('create table filling (number int, value text storage plain)');
  let acknowledged = 0;
  await expect(
    (async () => {
      for (let number = 1; ; number++) {
        await service.query(
          `insert into filling select ${number}, repeat(md5(random()::text), 60) from generate_series(1, 1000)`,
        );
        acknowledged = number;
      }
    })(),
  ).rejects.toThrow();
  expect(acknowledged).toBeGreaterThan(0);
  const attention = async () => (await service.status()).attention ?? '';
  await service.until('the full disk to be told', async () =>
    /the data disk is (nearly )?full/.test(await attention()),
  );
  expect(await attention()).toContain('sovereign resize sql 4G');

  await service.device.resize(service.definition, 2560 * 1024 * 1024);
  await service.device.waitHealthy(service.definition, service.definition.health.deadline);
  const counted = await service.query(
    'select number, count(*)::int as rows from filling group by number order by number',
  );
  expect(counted.slice(0, acknowledged)).toEqual(
    Array.from({ length: acknowledged }, (_, index) => ({ number: index + 1, rows: 1000 })),
  );
  expect(await service.query('select value from kept')).toEqual([{ value: 'a row' }]);
  // The guest tells its space beside all else that it does at a start.
  await expect
    .poll(async () => (await service.status()).data?.size, { timeout: 120_000, interval: 250 })
    .toBe(2560 * 1024 * 1024);
  const status = await service.status();
  expect(status.healthy).toBe(true);
  expect(status.data?.free).toBeGreaterThan(256 * 1024 * 1024);
  expect(status.attention).toBeUndefined();
});
