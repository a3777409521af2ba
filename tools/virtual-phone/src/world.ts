import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';

/**
 * The phone's whole internet, a stand-in: runs in a network namespace of its own, from which no way leads out.
 * A resolver whose zone answers every name, a time server, HTTP on port 80, and an echo on port 7.
 */
const [address = ''] = process.argv.slice(2);
const octets = address.split('.').map(Number);

/** RFC 1035: the question is given back with one A record; other types get an empty answer. */
function answer(query: Buffer): Buffer | undefined {
  let end = 12;
  while (end < query.length && query[end] !== 0) end += (query[end] ?? 0) + 1;
  end += 5;
  if (query.length < end) return undefined;
  const isA = query.readUInt16BE(end - 4) === 1;
  const header = Buffer.alloc(12);
  header.writeUInt16BE(query.readUInt16BE(0), 0);
  header.writeUInt16BE(0x8580, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(isA ? 1 : 0, 6);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...octets]);
  return Buffer.concat([header, query.subarray(12, end), ...(isA ? [record] : [])]);
}

const resolver = createSocket('udp4');
resolver.on('message', (query, { address: from, port }) => {
  const reply = answer(query);
  if (reply !== undefined) resolver.send(reply, port, from);
});
resolver.bind(53);

/** Seconds from 1900, where NTP begins, to 1970. */
const NTP_EPOCH = 2_208_988_800;

const clock = createSocket('udp4');
clock.on('message', (query, { address: from, port }) => {
  if (query.length < 48) return;
  const reply = Buffer.alloc(48);
  // Version 4, server, stratum 1 (RFC 5905).
  reply.set([0x24, 1, 0, 0xec]);
  query.copy(reply, 24, 40, 48);
  const now = Date.now();
  for (const at of [16, 32, 40]) {
    reply.writeUInt32BE(Math.floor(now / 1000) + NTP_EPOCH, at);
    reply.writeUInt32BE(Math.floor(((now % 1000) / 1000) * 2 ** 32), at + 4);
  }
  clock.send(reply, port, from);
});
clock.bind(123);

createServer((request, response) => {
  response.end(`the world of this test phone, asked by ${request.socket.remoteAddress ?? '?'}\n`);
}).listen(80, '0.0.0.0');

createTcpServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
}).listen(7, '0.0.0.0');
