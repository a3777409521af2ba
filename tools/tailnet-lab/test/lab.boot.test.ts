import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Lab, type LabState } from '../src/lab.ts';
import { control, nats, rooms, sites } from '../src/topology.ts';

let lab: Lab;
const udp = join(import.meta.dirname, 'udp.ts');

beforeAll(async () => {
  lab = await Lab.start();
}, 900_000);

afterAll(() => lab.remove());

test('every room asks the lab’s resolver for names, and nobody else', async () => {
  for (const room of rooms) {
    expect(await lab.must(room, ['cat', '/etc/resolv.conf'])).toBe(`nameserver ${control.address}`);
  }
  expect(await lab.must('laptop', ['getent', 'ahostsv4', control.name])).toContain(control.address);
});

test('no way leads out of the lab', async () => {
  for (const room of rooms) {
    const interfaces = await lab.must(room, ['ip', '-brief', 'link']);
    expect(interfaces.match(/^(?!lo |wan|lan|control|home|mobile|laptop).+$/gm)).toBeNull();
  }
  const { status } = await lab.run('laptop', ['busybox', 'ping', '-c', '1', '-W', '1', '192.0.2.1']);
  expect(status).not.toBe(0);
});

test('a machine behind a router is not reached from the internet', async () => {
  const ping = (room: 'laptop' | 'internet', address: string, seconds: number) =>
    lab.run(room, ['busybox', 'ping', '-c', '1', '-W', String(seconds), address]);
  expect((await ping('laptop', control.address, 20)).status).toBe(0);
  expect((await ping('internet', sites.home.inner, 1)).status).not.toBe(0);
});

describe('routers', () => {
  beforeAll(async () => {
    const server = lab.rooms.spawn('control', [process.execPath, udp, 'serve', control.address]);
    await once(server.stdout, 'data');
  });

  const expected = {
    none: { seen: [sites.home.inner, sites.home.inner], same: true, uninvited: true },
    'full-cone': { seen: [sites.home.address, sites.home.address], same: true, uninvited: true },
    'port-restricted': { seen: [sites.home.address, sites.home.address], same: true, uninvited: false },
    symmetric: { seen: [sites.home.address, sites.home.address], same: false, uninvited: false },
    'udp-blocked': { seen: [], same: true, uninvited: false },
  };

  test.each(nats)('one of the kind %s does to UDP what its name says', async (nat) => {
    await lab.nat('home', nat);
    // What is dropped is counted below: there is nothing to wait for.
    const seconds = nat === 'udp-blocked' ? '1' : '10';
    const asked = await lab.must('home', [process.execPath, udp, 'ask', control.address, seconds]);
    const told = JSON.parse(asked) as { seen: string[]; uninvited: boolean };
    const [first, second] = told.seen;
    expect({
      seen: told.seen.map((source) => source.split(':')[0]),
      same: first === second,
      uninvited: told.uninvited,
    }).toEqual(expected[nat]);
    if (nat !== 'udp-blocked') return;
    expect(await lab.must('home-nat', ['nft', 'list', 'chain', 'ip', 'router', 'through'])).toMatch(
      /counter packets 2 bytes \d+ drop/,
    );
  });
});

describe('everything ends, also what detached itself', () => {
  test('with the lab', async () => {
    const own = await Lab.start();
    await own.must('home', ['sh', '-c', 'setsid sleep 987654 >/dev/null 2>&1 &']);
    await expect.poll(() => own.commandLines('home'), { timeout: 120_000 }).toContain('sleep\x00987654\x00');
    const proc = `/proc/${own.rooms.pid('home')}`;
    await own.remove();
    expect(existsSync(proc)).toBe(false);
    expect(existsSync(own.folder)).toBe(false);
  });

  test('with the process that made it, where that is killed', async () => {
    const module = join(import.meta.dirname, '../src/lab.ts');
    const script = `
      const { Lab } = await import(${JSON.stringify(module)});
      const lab = await Lab.start();
      process.stdout.write(JSON.stringify(lab.state));
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [said] = (await once(child.stdout, 'data')) as [Buffer];
    const { folder, pids } = JSON.parse(String(said)) as LabState;
    expect(existsSync(folder)).toBe(true);
    child.kill('SIGKILL');
    await expect.poll(() => existsSync(folder), { timeout: 120_000 }).toBe(false);
    await expect.poll(() => existsSync(`/proc/${pids.home ?? 0}`), { timeout: 120_000 }).toBe(false);
  });
});
