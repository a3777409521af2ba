import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Authority } from './authority.ts';
import { freePort } from './ports.ts';
import { program } from './running.ts';

const NAME = 'vault.example.org';
const authority = new Authority();
const { file, read } = authority;

/** A certificate of the authority of this test, as an owner gives it: chain, and the key. */
function certify(name: string, days: number): void {
  authority.certify(name, `DNS:${NAME}`, days);
  writeFileSync(file(`${name}.pem`), read(`${name}.crt`) + read('ca.pem') + read(`${name}.key`));
  writeFileSync(file(`${name}-alone.pem`), read(`${name}.crt`) + read(`${name}.key`));
}

/** Takes TLS in front of a port of this machine. */
async function terminate(certificate: string, to: number): Promise<{ port: number; child: ChildProcess }> {
  const port = await freePort();
  const words = ['-tls', `127.0.0.1:${port}`, '-to', `127.0.0.1:${to}`, '-certificate', file(certificate)];
  const child = spawn(await program('gvforwarder'), words, { stdio: ['ignore', 'ignore', 'pipe'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  await Promise.race([once(child.stderr, 'data'), once(child, 'exit')]);
  return { port, child };
}

const check = async (port: number, name: string, certificate: string) => {
  const words = ['-tls-check', `127.0.0.1:${port}`, '-name', name, '-certificate', file(certificate)];
  return spawnSync(await program('gvforwarder'), words, { encoding: 'utf8' });
};

let echo: Server;
const port = () => (echo.address() as AddressInfo).port;

beforeAll(async () => {
  certify('good', 2);
  certify('over', -1);
  // Says back what it is told, once it was told all.
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    void text(socket).then((said) => socket.end(`told ${said}`));
  }).listen(0, '127.0.0.1');
  await once(echo, 'listening');
});

afterAll(() => {
  echo.close();
  authority.remove();
});

/** What is said back over a verified connection. */
async function over(at: number, said: string): Promise<string> {
  const socket = connect({ port: at, host: '127.0.0.1', servername: NAME, ca: read('ca.pem') });
  await once(socket, 'secureConnect');
  expect(socket.authorized).toBe(true);
  socket.end(said);
  return text(socket);
}

describe('TLS in front of a service', () => {
  test('is verified by a client that trusts the authority, and carries both ways to the end', async () => {
    const { port: at } = await terminate('good.pem', port());
    expect(await over(at, 'something')).toBe('told something');
    const long = 'x'.repeat(1_000_000);
    expect(await over(at, long)).toBe(`told ${long}`);
  });

  test('a client that speaks no TLS gets nothing, and holds nobody up', async () => {
    const { port: at } = await terminate('good.pem', port());
    const plain = spawnSync('busybox', ['nc', '-w', '2', '127.0.0.1', String(at)], {
      input: 'GET / HTTP/1.0\r\n\r\n',
      encoding: 'utf8',
    });
    expect(plain.stdout).not.toContain('told');
    expect(await over(at, 'x')).toBe('told x');
  });

  test('runs as nobody once it has its key', async () => {
    const { child } = await terminate('good.pem', port());
    const mine = process.getuid?.();
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    expect(/^Uid:\t(\d+)/m.exec(status)?.[1]).toBe(String(mine === 0 ? 65_534 : mine));
  });

  test.each([
    ['no key', () => read('good.crt')],
    ['the key of another', () => read('good.crt') + read('over.key')],
    ['nothing', () => ''],
  ])('a file with %s is refused at once', async (_what, content) => {
    writeFileSync(file('bad.pem'), content());
    const { child } = await terminate('bad.pem', port());
    if (child.exitCode === null) await once(child, 'exit');
    expect(child.exitCode).toBe(1);
  });
});

describe('the handshake that is checked', () => {
  test('is good by the authority at the end of the owner’s file, and tells the end of the certificate', async () => {
    const { port: at } = await terminate('good.pem', port());
    const { status, stdout } = await check(at, NAME, 'good.pem');
    expect(status).toBe(0);
    const end = new Date(stdout.trim()).getTime() - Date.now();
    expect(end).toBeGreaterThan(1.9 * 24 * 3600 * 1000);
    expect(end).toBeLessThanOrEqual(2 * 24 * 3600 * 1000);
  });

  test.each([
    ['of another name', 'other.example.org', 'good.pem', 'good.pem', /not other\.example\.org/],
    ['that nobody trusts', NAME, 'good.pem', 'good-alone.pem', /unknown authority/],
    ['that is over', NAME, 'over.pem', 'over.pem', /expired/],
  ])('fails with a certificate %s, and says why', async (_how, name, served, known, why) => {
    const { port: at } = await terminate(served, port());
    const { status, stdout, stderr } = await check(at, name, known);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/no handshake: /);
    expect(stderr).toMatch(why);
  });

  test('fails where nobody listens', async () => {
    expect((await check(await freePort(), NAME, 'good.pem')).stderr).toMatch(/no handshake: .*refused/);
  });
});
