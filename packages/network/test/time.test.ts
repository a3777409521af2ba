import { spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { afterEach, expect, test } from 'vitest';
import { program } from './running.ts';

/** Seconds from 1900, where NTP begins, to 1970. */
const NTP_EPOCH = 2_208_988_800;
const NOW = 1_795_000_000;
const servers: Socket[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A time server on loopback; what it answers is changed by `spoil`. */
async function server(
  spoil: (reply: Buffer) => Buffer | undefined,
  seconds = NOW + NTP_EPOCH,
): Promise<string> {
  const socket = createSocket('udp4');
  servers.push(socket);
  socket.on('message', (query, { address, port }) => {
    expect([query.length, query[0]]).toEqual([48, 0x23]);
    const reply = Buffer.alloc(48);
    reply.set([0x24, 2]);
    query.copy(reply, 24, 40, 48);
    reply.writeUInt32BE(seconds % 2 ** 32, 40);
    const spoilt = spoil(reply);
    if (spoilt !== undefined) socket.send(spoilt, port, address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return `127.0.0.1:${socket.address().port}`;
}

async function ask(...words: string[]): Promise<{ status: unknown; said: string; complained: string }> {
  const child = spawn(await program('gvforwarder'), ['-time', ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [said, complained, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<unknown[]>,
  ]);
  return { status, said, complained };
}

const honest = (reply: Buffer) => reply;
const changed = (at: number, byte: number) => (reply: Buffer) => {
  reply[at] = byte;
  return reply;
};

/** A server of this process may be held up for longer than an answer is waited for: it is asked again. */
const again = (server: string): string[] => Array<string>(5).fill(server);

test('the first server that answers gives the time', async () => {
  const answers = await ask(await server(changed(1, 0)), ...again(await server(honest)));
  expect(answers).toMatchObject({ status: 0, said: `${NOW}\n` });
});

test('the second era of NTP, from 2036 on, is one of later times', async () => {
  const later = 2_200_000_000;
  const answers = await ask(...again(await server(honest, later + NTP_EPOCH)));
  expect(answers).toMatchObject({ said: `${later}\n` });
});

test.each([
  ['that has no time itself', changed(1, 0)],
  ['that is not synchronised', changed(0, 0xe4)],
  ['that is a client', changed(0, 0x23)],
  ['that did not see the question', (reply: Buffer) => changed(24, 255 - (reply[24] ?? 0))(reply)],
  ['that is cut short', (reply: Buffer) => reply.subarray(0, 47)],
  ['that is silent', () => undefined],
])('an answer %s is none', async (_how, spoil) => {
  const { status, said, complained } = await ask(await server(spoil));
  expect({ status, said }).toEqual({ status: 1, said: '' });
  expect(complained).toMatch(/no time: 127\.0\.0\.1:\d+: /);
});
