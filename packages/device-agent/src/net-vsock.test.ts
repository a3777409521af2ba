import { chmodSync, existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test as base } from 'vitest';
import { ended, runs } from './testing/device-folder.ts';
import { PhoneNetwork } from './testing/phone-network.ts';

const PATIENT = { timeout: 30_000 };

const test = base.extend<{ network: PhoneNetwork }>({
  // eslint-disable-next-line no-empty-pattern -- Vitest reads the names of what is asked for
  network: async ({}, use) => {
    const network = await PhoneNetwork.vsock();
    await use(network);
    await network.remove();
  },
});

describe.concurrent('with mode vsock', { timeout: 120_000 }, () => {
  test('gvproxy runs before the machine does, and only once', async ({ expect, network }) => {
    const sql = network.service('sql', 2, ['15432 5432']);
    await Promise.all([network.do('net_attach', ...sql), network.do('net_up')]);
    const { gvproxy: pid, ...rest } = await network.status();
    expect(rest).toEqual({ network: 'vsock' });
    expect(network.processes()).toEqual([Number(pid)]);
    await network.do('net_up');
    expect((await network.status()).gvproxy).toBe(pid);
  });

  test('what the plan publishes is listened for on 127.0.0.1, until it is withdrawn', async ({
    expect,
    network,
  }) => {
    const sql = network.service('sql', 2, ['15432 5432', '15022 22']);
    const forge = network.service('forge', 4, ['13000 3000']);
    for (const service of [sql, forge]) {
      await network.do('net_attach', ...service);
      await network.do('net_publish', ...service);
    }
    expect([15432, 15022, 13000].map((port) => network.phone.listens(port))).toEqual([true, true, true]);
    await network.do('net_publish', ...network.service('sql', 2, ['15432 5432']));
    expect([15432, 15022, 13000].map((port) => network.phone.listens(port))).toEqual([true, false, true]);
    await network.do('net_withdraw', ...sql);
    await network.do('net_withdraw', ...sql);
    expect([15432, 15022, 13000].map((port) => network.phone.listens(port))).toEqual([false, false, true]);
  });

  test('a killed gvproxy is back, with what was published and without what was withdrawn', async ({
    expect,
    network,
  }) => {
    const sql = network.service('sql', 2, ['15432 5432']);
    const forge = network.service('forge', 4, ['13000 3000']);
    for (const service of [sql, forge]) {
      await network.do('net_attach', ...service);
      await network.do('net_publish', ...service);
    }
    const { gvproxy: pid } = await network.status();
    process.kill(Number(pid), 'SIGKILL');
    await ended([Number(pid)]);
    await network.do('net_withdraw', ...forge);
    await network.whileWatched(() => expect.poll(() => network.phone.listens(15432), PATIENT).toBe(true));
    expect((await network.status()).gvproxy).not.toBe(pid);
    expect(network.phone.listens(13000)).toBe(false);
  });

  test('it is started ever more slowly when it keeps ending, and what it said is told', async ({
    expect,
    network,
  }) => {
    network.write('net/gvproxy.yaml', 'stack: {}\n');
    const starts = () => (network.read('net/log/gvproxy.log') ?? '').split('\n').length;
    const began = Date.now();
    await network.whileWatched(() => expect.poll(starts, { timeout: 30_000 }).toBeGreaterThanOrEqual(4));
    // After 0, 1 and 2 seconds by the clock of uptime, which tells whole ones.
    expect(Date.now() - began).toBeGreaterThan(2000);
    expect((await network.status()).attention).toMatch(/^gvproxy does not run: .*gvproxy.yaml: subnet/);
    network.configureGvproxy();
    await network.do('net_up');
    expect(await network.status()).not.toHaveProperty('attention');
  });

  test('one that hangs is told while it does, and `network` starts it again with what was published', async ({
    expect,
    network,
  }) => {
    await network.published('sql', 2, ['15432 5432']);
    const { gvproxy: pid } = await network.status();
    process.kill(Number(pid), 'SIGSTOP');
    await network.do('watch', '1');
    expect((await network.status()).attention).toMatch(/^gvproxy hangs \(pid \d+\)/);
    process.kill(Number(pid), 'SIGCONT');
    await network.whileWatched(() =>
      expect.poll(() => network.status(), PATIENT).not.toHaveProperty('attention'),
    );

    process.kill(Number(pid), 'SIGSTOP');
    expect(await network.launch('network', network.root)).toMatchObject({ status: 0, stderr: '' });
    expect((await network.status()).gvproxy).not.toBe(pid);
    expect(network.phone.listens(15432)).toBe(true);
  });

  test('a damaged gvproxy is not run', async ({ expect, network }) => {
    const program = network.storeGvproxy('#!/bin/sh\nsleep 60\n');
    writeFileSync(program, '#!/bin/sh\nsleep 61\n');
    chmodSync(program, 0o755);
    expect((await network.call('net_up')).status).toBe(1);
    expect(network.processes()).toEqual([]);
    expect((await network.status()).attention).toMatch(/missing or damaged in the store/);
    // The machine starts all the same: it waits for the network by itself.
    await network.do('net_attach', ...network.service('sql', 2, []));
  });

  test('a port that another program holds keeps no other one from being published, and comes later', async ({
    expect,
    network,
  }) => {
    const holder = network.phone.spawn('toybox', 'nc', '-L', '-s', '127.0.0.1', '-p', '15432', 'true');
    await expect.poll(() => network.phone.listens(15432), PATIENT).toBe(true);
    await network.published('sql', 2, ['15432 5432', '15022 22']);
    expect(network.phone.listens(15022)).toBe(true);
    expect((await network.status()).attention).toMatch(/port 15432 .*: listen .* address already in use/);
    holder.kill('SIGKILL');
    await network.whileWatched(async () => {
      await expect.poll(() => network.phone.listens(15432), PATIENT).toBe(true);
      await expect.poll(() => network.status(), PATIENT).not.toHaveProperty('attention');
    });
  });

  test('a round of the keeper starts no process while all is well', async ({ expect, network }) => {
    await network.published('sql', 2, ['15432 5432']);
    expect(await network.call('watch-alone')).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('whatever was left behind, it starts; down leaves no process and no socket', async ({
    expect,
    network,
  }) => {
    await network.published('sql', 2, ['15432 5432']);
    const { gvproxy: pid } = await network.status();
    process.kill(Number(pid), 'SIGKILL');
    await expect.poll(() => runs(Number(pid)), PATIENT).toBe(false);
    expect(existsSync(join(network.root, 'net/api.sock'))).toBe(true);
    // The boot before: what was published then is forgotten.
    network.write('net/state/network-boot', 'another boot\n');
    await network.do('net_up');
    expect(network.phone.listens(15432)).toBe(false);

    // Sockets of which nobody knows whose they were, and a file in the place of one.
    process.kill(Number((await network.status()).gvproxy), 'SIGKILL');
    await expect.poll(network.processes.bind(network), PATIENT).toEqual([]);
    for (const name of ['pid', 'gvproxy']) rmSync(join(network.root, 'net/state', name));
    rmSync(join(network.root, 'net/api.sock'));
    writeFileSync(join(network.root, 'net/api.sock'), 'no socket');
    expect(existsSync(join(network.root, 'net/connect.sock'))).toBe(true);
    await network.do('net_up');
    expect(await network.status()).toEqual({
      network: 'vsock',
      gvproxy: expect.stringMatching(/^\d+$/) as string,
    });

    await network.do('net_down');
    await network.do('net_down');
    expect(network.processes()).toEqual([]);
    for (const name of ['api.sock', 'connect.sock', 'state/pid', 'published/sql']) {
      expect(existsSync(join(network.root, 'net', name)), name).toBe(false);
    }
  });

  test('another gvproxy takes over when the settings name it, and mode tap when they say so', async ({
    expect,
    network,
  }) => {
    await network.published('sql', 2, ['15432 5432']);
    const { gvproxy: first } = await network.status();
    await network.whileWatched(async () => {
      network.storeGvproxy(Buffer.concat([network.gvproxy(), Buffer.from('a later one')]));
      await expect.poll(() => network.status(), PATIENT).not.toMatchObject({ gvproxy: first });
      await expect.poll(() => network.phone.listens(15432), PATIENT).toBe(true);
      await expect
        .poll(() => network.status(), PATIENT)
        .toEqual({ network: 'vsock', gvproxy: expect.stringMatching(/^\d+$/) as string });

      // Settings that this launcher does not know change nothing.
      const settings = network.read('device.conf') ?? '';
      network.write('device.conf', 'schema 2\nnetwork quantum\n');
      await sleep(500);
      network.write('device.conf', settings);
      expect(network.phone.listens(15432)).toBe(true);

      network.write('device.conf', 'schema 1\nkind adb\nnetwork tap\n');
      await expect.poll(() => network.status(), PATIENT).toEqual({ network: 'tap' });
      await expect.poll(() => network.phone.run('ip', '-o', 'link'), PATIENT).toContain('sov-br0');
      await expect.poll(() => network.phone.listens(15432), PATIENT).toBe(true);
      network.write('device.conf', settings);
      await expect.poll(() => network.status(), PATIENT).toHaveProperty('gvproxy');
      expect(network.phone.run('ip', '-o', 'link')).not.toContain('sov-br0');
    });
  });

  test('a new one that does not run is taken back: the last good one goes on, and that is told', async ({
    expect,
    network,
  }) => {
    await network.published('sql', 2, ['15432 5432']);
    const good = network.read('net/good');
    expect(network.read('device.conf')).toContain(`gvproxy ${good}`);
    const bad = network.storeGvproxy("#!/bin/sh\necho 'cannot listen'\n").split('/').at(-1);
    await network.whileWatched(async () => {
      await expect
        .poll(() => network.read('net/state/refused'), PATIENT)
        .toBe(`${bad} gvproxy does not run: cannot listen`);
      await expect.poll(() => network.phone.listens(15432), PATIENT).toBe(true);
    });
    const status = await network.status();
    expect(status.attention).toBe(
      'the new gvproxy was taken back, and the one before runs: gvproxy does not run: cannot listen',
    );
    // Not tried again and again: a start of a machine, and a round of the keeper, leave what runs.
    await network.do('net_attach', ...network.service('forge', 4, []));
    await network.do('watch', '3');
    expect((await network.status()).gvproxy).toBe(status.gvproxy);

    // The next one that the settings name is tried as any other.
    network.storeGvproxy(Buffer.concat([network.gvproxy(), Buffer.from('mended')]));
    await network.do('net_up');
    expect(await network.status()).not.toHaveProperty('attention');
    expect(network.read('net/state/gvproxy')).not.toBe(good);
    expect(network.phone.listens(15432)).toBe(true);
  });

  test('a new one that ends again and again is taken back, one that lasts is good', async ({
    expect,
    network,
  }) => {
    await network.published('sql', 2, ['15432 5432']);
    const good = network.read('net/good');
    network.storeGvproxy(Buffer.concat([network.gvproxy(), Buffer.from('weak')]));
    await network.whileWatched(async () => {
      let last = network.read('net/state/pid');
      for (let time = 1; time <= 3; time++) {
        const another = () => {
          const pid = network.read('net/state/pid');
          return network.phone.listens(15432) && pid !== undefined && pid !== last;
        };
        await expect.poll(another, PATIENT).toBe(true);
        last = network.read('net/state/pid');
        process.kill(Number(last), 'SIGKILL');
        await ended([Number(last)]);
      }
      await expect.poll(() => network.read('net/state/gvproxy'), PATIENT).toBe(good);
      await expect.poll(() => network.phone.listens(15432), PATIENT).toBe(true);
    });
    expect((await network.status()).attention).toMatch(/taken back.*it ended 3 times/);
    // Whoever asks for the network anew gets the new one, which now lasts.
    network.proof = 1;
    await network.whileWatched(async () => {
      expect(await network.launch('network', network.root)).toMatchObject({ status: 0, stderr: '' });
      await expect.poll(() => network.read('net/good'), PATIENT).not.toBe(good);
    });
    expect(await network.status()).not.toHaveProperty('attention');
  });

  test('its log is copied and emptied while it runs', async ({ expect, network }) => {
    await network.do('net_up');
    const log = join(network.root, 'net/log/gvproxy.log');
    writeFileSync(log, 'x'.repeat(1_100_000), { flag: 'a' });
    await network.do('watch', '1');
    expect(statSync(log).size).toBe(0);
    expect(statSync(`${log}.1`).size).toBeGreaterThan(1_100_000);
    process.kill(Number((await network.status()).gvproxy), 'SIGTERM');
    await expect.poll(() => statSync(log).size, PATIENT).toBeGreaterThan(0);
    expect(statSync(log).size).toBeLessThan(10_000);
  });

  test('it listens on vsock where the device has it, for the guests of the plans of this device', async ({
    expect,
    network,
  }) => {
    network.vsockDevice = '/dev/null';
    // A stand-in that tells its arguments and whose plans it reads.
    network.storeGvproxy('#!/bin/sh\necho "$@, $SOVEREIGN_SERVICES"\n');
    await network.call('net_up');
    expect((await network.status()).attention).toBe(
      `gvproxy does not run: -config gvproxy.yaml -listen vsock://:1024 -services unix://${network.root}/net/api.sock, ${network.root}/services`,
    );
  });

  test('a plan that cannot be published is refused by name', async ({ expect, network }) => {
    const sql = network.service('sql', 2, ['15432 5432; reboot']);
    await network.do('net_attach', ...sql);
    expect((await network.call('net_publish', ...sql)).status).toBe(1);
    expect((await network.status()).attention).toMatch(/'publish 15432 5432; reboot'/);
    rmSync(join(network.root, 'services'), { recursive: true });
  });
});
