import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { freePort, listenOnLoopback } from './ports.ts';
import { program } from './running.ts';

const TOKEN = 'b41-planted-topic';
const folder = mkdtempSync(join(tmpdir(), 'sovereign-notify-'));
const settings = join(folder, 'settings');

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Sends a message as the launcher does. */
async function send(lines: string, message: string): Promise<{ status: unknown; complained: string }> {
  writeFileSync(settings, lines, { mode: 0o600 });
  const child = spawn(await program('gvproxy'), ['-notify', settings], { stdio: ['pipe', 'ignore', 'pipe'] });
  // It may end before it has read all of a long one.
  child.stdin.on('error', () => undefined).end(message);
  const [complained, [status]] = await Promise.all([
    text(child.stderr),
    once(child, 'exit') as Promise<unknown[]>,
  ]);
  expect(complained).not.toContain(TOKEN);
  return { status, complained: complained.slice(20) };
}

interface Heard {
  method: string | undefined;
  url: string | undefined;
  headers: IncomingHttpHeaders;
  body: string;
}

/** A server that takes messages, or answers with another status and an address to go to. */
async function listener(status = 200, location?: string): Promise<{ at: string; heard: Heard[] }> {
  const heard: Heard[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      heard.push({ method: request.method, url: request.url, headers: request.headers, body });
      response.writeHead(status, location === undefined ? {} : { location }).end('{}');
    });
  });
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { at: `http://127.0.0.1:${await listenOnLoopback(server)}`, heard };
}

/** A name server that knows every name, and has this address for it (RFC 1035, 4.1). */
async function nameServer(address: string): Promise<{ at: string; names: string[] }> {
  const names: string[] = [];
  const socket = createSocket('udp4');
  onTestFinished(() => void socket.close());
  socket.on('message', (query, peer) => {
    let end = 12;
    const labels: string[] = [];
    for (let length = query[end] ?? 0; length > 0; length = query[end] ?? 0) {
      labels.push(query.toString('latin1', end + 1, end + 1 + length));
      end += 1 + length;
    }
    names.push(labels.join('.'));
    const isAddress = query.readUInt16BE(end + 1) === 1;
    const question = query.subarray(12, end + 5);
    const head = Buffer.from([0, 0, 0x81, 0x80, 0, 1, 0, isAddress ? 1 : 0, 0, 0, 0, 0]);
    query.copy(head, 0, 0, 2);
    const numbers = address.split('.').map(Number);
    const answer = isAddress
      ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...numbers])
      : Buffer.alloc(0);
    socket.send(Buffer.concat([head, question, answer]), peer.port, peer.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { at: `127.0.0.1:${socket.address().port}`, names };
}

test('ntfy gets the message as the body, and the title in a field', async () => {
  const { at, heard } = await listener();
  const lines = `schema 1\nntfy ${at}/${TOKEN}\ntitle Sovereign on Pixel 9\n`;
  expect(await send(lines, 'sql: gave up: "ü"\n')).toEqual({ status: 0, complained: '' });
  expect(heard).toMatchObject([{ method: 'POST', url: `/${TOKEN}`, body: 'sql: gave up: "ü"' }]);
  expect(heard[0]?.headers).toMatchObject({ title: 'Sovereign on Pixel 9' });
});

test('a webhook gets JSON with a text, whatever is in the message', async () => {
  const { at, heard } = await listener(204);
  expect((await send(`webhook ${at}/hooks/${TOKEN}\n`, 'sql: "quoted" \\ <b>\tü\n')).status).toBe(0);
  expect(heard).toMatchObject([{ method: 'POST', url: `/hooks/${TOKEN}` }]);
  expect(heard[0]?.headers['content-type']).toBe('application/json');
  expect(JSON.parse(heard[0]?.body ?? '')).toEqual({ text: 'Sovereign: sql: "quoted" \\ <b>\tü' });
});

test('a title cannot add a field, and a long message is cut', async () => {
  const { at, heard } = await listener();
  await send(`ntfy ${at}/${TOKEN}\ntitle Sovereign\rX-Other: 1 ü\n`, 'x'.repeat(9000));
  expect(heard[0]?.headers).not.toHaveProperty('x-other');
  expect(heard[0]?.body).toBe('x'.repeat(4000));
});

test('what is not taken is an error, and no redirect is followed', async () => {
  const refuses = await listener(500);
  expect(await send(`ntfy ${refuses.at}/${TOKEN}\n`, 'x')).toEqual({
    status: 1,
    complained: 'gvproxy: not sent: it answers with status 500\n',
  });
  const moved = await listener(307, '/elsewhere');
  expect((await send(`ntfy ${moved.at}/${TOKEN}\n`, 'x')).complained).toContain('it answers with status 307');
  expect(moved.heard).toHaveLength(1);
  const nobody = `http://127.0.0.1:${await freePort()}`;
  expect((await send(`ntfy ${nobody}/${TOKEN}\n`, 'x')).complained).toBe(
    'gvproxy: not sent: connection refused\n',
  );
});

test('names are asked for at the servers of the settings', async () => {
  const { at, heard } = await listener();
  const port = at.slice(at.lastIndexOf(':'));
  const asked = await nameServer('127.0.0.1');
  const lines = `ntfy http://ntfy.example${port}/${TOKEN}\ndns ${asked.at}\n`;
  expect(await send(lines, 'x')).toEqual({ status: 0, complained: '' });
  expect(new Set(asked.names)).toEqual(new Set(['ntfy.example']));
  expect(heard).toHaveLength(1);
});

test('a name that nobody knows is said without it', async () => {
  const { status, complained } = await send(`ntfy https://ntfy.example/${TOKEN}\ndns 127.0.0.1\n`, 'x');
  expect({ status, complained }).toEqual({
    status: 1,
    complained: expect.stringMatching(
      /not sent: (the name in the address is not found|no answer within)/,
    ) as string,
  });
});

test.each([
  ['no address', 'ntfy nothing\n', 'it holds no address'],
  ['nothing', '', 'it names neither ntfy nor webhook'],
  ['what is not known', `mail ${TOKEN}\n`, 'it has a line that is not known'],
])('settings with %s are refused without a word of them', async (_what, lines, reason) => {
  const { status, complained } = await send(lines, 'x');
  expect(status).toBe(1);
  expect(complained).toContain(reason);
});
