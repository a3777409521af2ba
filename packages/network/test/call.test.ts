import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer as createHttp, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer as createTcp, type Server, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { Authority } from './authority.ts';
import { freePort, listenOnLoopback } from './ports.ts';
import { program } from './running.ts';

/** What may stand in no word of the program. */
const TOKEN = 'a2b7-planted-token';
const authority = new Authority();
const { file, read } = authority;

beforeAll(() => {
  authority.certify('good', 'IP:127.0.0.1,DNS:localhost', 2);
  authority.certify('other', 'DNS:elsewhere.example', 2);
  authority.certify('over', 'IP:127.0.0.1', -1);
});

afterAll(() => authority.remove());

interface Said {
  status: unknown;
  complained: string;
  /** The arguments, as everybody on the machine could see them. */
  words: string[];
}

/** Calls an address as the guest does: from a file. */
async function call(address: string, ...more: string[]): Promise<Said> {
  writeFileSync(file('address'), `${address}\n`, { mode: 0o600 });
  const words = ['-call', file('address'), ...more];
  // No authority of this machine, and no proxy.
  const env = { SSL_CERT_FILE: '/dev/null', SSL_CERT_DIR: '/nonexistent', HTTPS_PROXY: 'http://127.0.0.1:1' };
  const child = spawn(await program('gvforwarder'), words, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const [complained, [status]] = await Promise.all([
    text(child.stderr),
    once(child, 'exit') as Promise<unknown[]>,
  ]);
  return { status, complained, words };
}

const trust = () => ['-authorities', file('ca.pem')];

async function serve(server: Server): Promise<number> {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => void open.add(socket));
  onTestFinished(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return listenOnLoopback(server);
}

async function http(listener: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await serve(createHttp(listener))}`;
}

async function https(listener: RequestListener, name = 'good'): Promise<string> {
  const options = { cert: read(`${name}.crt`), key: read(`${name}.key`) };
  return `https://127.0.0.1:${await serve(createHttps(options, listener))}`;
}

/** Asserts that it failed for this reason, and that nobody reads the address of it. */
function expectFailure({ status, complained }: Said, reason: string): void {
  expect({ status, complained: complained.slice(20) }).toEqual({
    status: 1,
    complained: `gvforwarder: no success: ${reason}\n`,
  });
  expect(complained).not.toMatch(/planted|127\.0\.0\.1|localhost/);
}

test.each([
  ['http', http],
  ['https', https],
])('an address is called once over %s, as it is written', async (_scheme, listen) => {
  const asked: IncomingMessage[] = [];
  const at = await listen((request, response) => {
    asked.push(request);
    response.end('OK');
  });
  const { status, complained, words } = await call(`${at}/ping/${TOKEN}?status=up&msg=OK&ping=`, ...trust());
  expect({ status, complained }).toEqual({ status: 0, complained: '' });
  expect(asked.map(({ method, url, headers }) => ({ method, url, host: headers.host }))).toEqual([
    { method: 'GET', url: `/ping/${TOKEN}?status=up&msg=OK&ping=`, host: at.replace(/^.*\/\//, '') },
  ]);
  expect(words.join(' ')).not.toContain(TOKEN);
});

test('a redirect within the host is followed, and tells nobody where it came from', async () => {
  const asked: IncomingMessage[] = [];
  const at = await https((request, response) => {
    asked.push(request);
    if (request.url === '/new') response.writeHead(204).end();
    else response.writeHead(308, { location: '/new' }).end();
  });
  expect(await call(`${at}/${TOKEN}`, ...trust())).toMatchObject({ status: 0 });
  expect(asked.map(({ url, headers }) => [url, headers.referer])).toEqual([
    [`/${TOKEN}`, undefined],
    ['/new', undefined],
  ]);
});

test('no other host is asked, nor the same one without TLS', async () => {
  let strayed = 0;
  const elsewhere = await http((_request, response) => {
    strayed++;
    response.end();
  });
  const port = elsewhere.slice(elsewhere.lastIndexOf(':'));
  const another = await http((request, response) => {
    response.writeHead(302, { location: `http://localhost${port}${request.url ?? ''}` }).end();
  });
  const reason = 'it redirects to another host, or from https to http';
  expectFailure(await call(`${another}/${TOKEN}`), reason);
  const open = await https((request, response) => {
    response.writeHead(302, { location: `${elsewhere}${request.url ?? ''}` }).end();
  });
  expectFailure(await call(`${open}/${TOKEN}`, ...trust()), reason);
  expect(strayed).toBe(0);
});

test('redirects end', async () => {
  let asked = 0;
  const at = await http((_request, response) => {
    response.writeHead(302, { location: `/${TOKEN}/${++asked}` }).end();
  });
  expectFailure(await call(`${at}/${TOKEN}`), 'it redirects more than 3 times');
  expect(asked).toBe(4);
});

test.each([
  [500, 'it answers with status 500'],
  [404, 'it answers with status 404'],
  [304, 'it answers with status 304'],
])('status %d is no success', async (status, reason) => {
  expectFailure(
    await call(`${await http((_, response) => response.writeHead(status).end())}/${TOKEN}`),
    reason,
  );
});

test('a check that healthchecks.io does not know is no success, though its status is one', async () => {
  const at = await http((_request, response) => response.end('OK (not found)'));
  expectFailure(await call(`${at}/${TOKEN}`), 'it does not know this address: OK (not found)');
});

test('who has a certificate that is not good is not called', async () => {
  let called = 0;
  const listener: RequestListener = (_request, response) => {
    called++;
    response.end();
  };
  const at = await https(listener);
  expectFailure(await call(`${at}/${TOKEN}`), 'its certificate is of an authority that is not trusted');
  const named = await https(listener, 'other');
  expectFailure(await call(`${named}/${TOKEN}`, ...trust()), 'its certificate is of another name');
  const over = await https(listener, 'over');
  expectFailure(await call(`${over}/${TOKEN}`, ...trust()), 'its certificate is over, or not valid yet');
  const plain = await http(listener);
  const unsecured = `${plain.replace('http:', 'https:')}/${TOKEN}`;
  expectFailure(
    await call(unsecured, ...trust()),
    'what answers does not speak TLS, or shows a certificate that is not good',
  );
  expect(called).toBe(0);
});

test('nobody who listens, and one who says nothing of sense', async () => {
  expectFailure(await call(`http://127.0.0.1:${await freePort()}/${TOKEN}`), 'connection refused');
  const closes = await serve(createTcp((socket) => socket.end()));
  expect((await call(`http://127.0.0.1:${closes}/${TOKEN}`)).status).toBe(1);
  const noise = await serve(createTcp((socket) => socket.end('SSH-2.0-dropbear\r\n')));
  expectFailure(await call(`http://127.0.0.1:${noise}/${TOKEN}`), 'what answers does not speak HTTP');
  const endless = await serve(
    createTcp((socket) => {
      socket.on('error', () => socket.destroy());
      socket.write(`HTTP/1.1 200 ${'x'.repeat(200_000)}`);
    }),
  );
  expect((await call(`http://127.0.0.1:${endless}/${TOKEN}`)).status).toBe(1);
});

test('one who never answers is given up', async () => {
  const at = await serve(createTcp(() => undefined));
  expectFailure(await call(`http://127.0.0.1:${at}/${TOKEN}`, '-within', '1s'), 'no answer within 1s');
});

test.each([
  ['nothing', ''],
  ['no address', TOKEN],
  ['another scheme', `ftp://monitor.example/${TOKEN}`],
  ['no host', `https:///${TOKEN}`],
  ['a password', `https://user:${TOKEN}@monitor.example/`],
])('a file with %s is refused without a word of it', async (_what, content) => {
  const { status, complained } = await call(content);
  expect(status).toBe(1);
  expect(complained).toContain(
    `${file('address')}: it holds no address that begins with https:// or http://`,
  );
  expect(complained).not.toContain(TOKEN);
});
