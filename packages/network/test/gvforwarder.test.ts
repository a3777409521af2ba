import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { gvproxyConfig } from '@sovereign/device';
import { afterAll, afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { freePort } from './ports.ts';
import { ask, program, runGvproxy, type Running } from './running.ts';

/** Stands in for a guest: a network namespace with an eth0 as the guest makes it, and a server that says hello. */
const guestScript = `set -e
ip link set lo up
ip tuntap add dev eth0 mode tap
ip link set dev eth0 mtu 4000 address 52:53:56:00:00:02
ip address add 192.168.127.2/24 dev eth0
ip link set eth0 up
ip route add default via 192.168.127.1
exec "$0" -e 'require("node:net").createServer((s) => s.end("hello")).listen(7777, "192.168.127.2", () => console.log("up"))'`;

const folder = mkdtempSync(join(tmpdir(), 'sovereign-guest-'));
const guests = join(folder, 'connect.sock');
const children: ChildProcess[] = [];
let guest: ChildProcess;
let gvproxy: Running;
let port: number;

function run(command: string, args: readonly string[], stdout: 'pipe' | 'ignore' = 'ignore'): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', stdout, 'ignore'] });
  children.push(child);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

beforeEach(async () => {
  guest = await startGuest();
  port = await freePort();
  await network();
});

afterEach(async () => {
  await Promise.all(children.splice(0).map(kill));
  await gvproxy.stop();
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function startGuest(): Promise<ChildProcess> {
  const namespaces = ['--user', '--map-root-user', '--net'];
  const started = run('unshare', [...namespaces, 'sh', '-c', guestScript, process.execPath], 'pipe');
  if (started.stdout !== null) await once(started.stdout, 'data');
  return started;
}

/** Starts gvproxy, as after a boot of the device: it knows of no port. */
async function network(): Promise<void> {
  gvproxy = await runGvproxy(gvproxyConfig(), guests);
  const forward = { local: `127.0.0.1:${port}`, remote: '192.168.127.2:7777', protocol: 'tcp' };
  await ask(gvproxy.api, '/services/forwarder/expose', forward);
}

const inGuest = ['--user', '--preserve-credentials', '--net', '--target'];

/** Starts what carries the frames of the guest. */
async function carrier(socket = guests, ...more: string[]): Promise<ChildProcess> {
  const args = ['-url', `unix://${socket}`, '-iface', 'eth0', '-mtu', '4000', ...more];
  return run('nsenter', [...inGuest, String(guest.pid), await program('gvforwarder'), ...args]);
}

/** What the guest's server says, nothing where it is not reached within a moment. */
const hello = () => {
  const socket = connect(port, '127.0.0.1');
  socket.setTimeout(300, () => socket.destroy());
  return text(socket).catch(() => '');
};
const answers = () =>
  vi.waitUntil(async () => (await hello()) === 'hello', { timeout: 20_000, interval: 50 });
const addresses = () =>
  spawnSync('nsenter', [...inGuest, String(guest.pid), 'ip', '-4', '-o', 'address', 'show', 'dev', 'eth0'], {
    encoding: 'utf8',
  }).stdout;

test('a guest is reached again, at the address that it had, after gvproxy and then its own carrier was killed', async () => {
  const first = await carrier();
  await answers();
  await gvproxy.stop();
  await network();
  await answers();
  await kill(first);
  expect(await hello()).toBe('');
  await carrier();
  await answers();
  expect(addresses()).toContain('192.168.127.2/24');
});

test('a guest that was started anew is reached while the connection of the one before is held, with its address', async () => {
  const before = await carrier();
  await answers();
  before.kill('SIGSTOP');
  // It stops a moment after it was told to.
  await expect.poll(hello).toBe('');
  guest = await startGuest();
  await carrier();
  await answers();
});

test('a guest that comes up before its device’s network joins when it is there', async () => {
  await gvproxy.stop();
  await carrier();
  await network();
  await answers();
});

interface Between {
  path: string;
  connections: () => number;
  /** How often something came from gvproxy over the last connection. */
  heard: () => number;
  /** From now on nothing comes over the connections that there are. */
  silence: () => void;
}

/** Stands between the carrier and gvproxy, for a vsock that loses the end of a connection. */
async function between(): Promise<Between> {
  const path = join(folder, 'between.sock');
  const sockets: Socket[] = [];
  let connections = 0;
  let heard = 0;
  const server = createServer((socket) => {
    connections++;
    heard = 0;
    const behind = connect(guests).on('data', () => heard++);
    socket.pipe(behind).pipe(socket);
    for (const each of [socket, behind]) each.on('error', () => undefined);
    sockets.push(socket, behind);
  });
  server.listen(path);
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const silence = (): void => {
    for (const socket of sockets) socket.unpipe().resume();
  };
  return { path, connections: () => connections, heard: () => heard, silence };
}

test('a guest whose connection has become silent begins another, and one that is merely quiet does not', async () => {
  const { path, connections, heard, silence } = await between();
  await carrier(path, '-gateway', '192.168.127.1', '-alive', '200ms');
  await answers();
  // One connection outlives more questions than may stay without an answer, whoever is held up meanwhile.
  const before = heard();
  await expect.poll(heard).toBeGreaterThan(before + 12);
  const quiet = connections();
  silence();
  await expect.poll(connections).toBeGreaterThan(quiet);
  await answers();
});
