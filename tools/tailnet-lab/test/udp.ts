import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Asks what a router does to UDP.
 *
 * usage: udp.ts serve ADDRESS          answers on ports 7001 and 7002 with the source that it sees; before the
 *                                      second answer it also writes from port 7003, which nobody asked
 *        udp.ts ask ADDRESS SECONDS    asks both ports at once, from one of its own, and prints
 *                                      {"seen": [SOURCE, SOURCE], "uninvited": BOOLEAN}; waits so long for answers
 */
const [mode, address = '', seconds] = process.argv.slice(2);
const ports = [7001, 7002];

async function bound(port: number): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(port, mode === 'serve' ? address : undefined);
  await once(socket, 'listening');
  return socket;
}

if (mode === 'serve') {
  const stranger = await bound(7003);
  for (const port of ports) {
    const socket = await bound(port);
    socket.on('message', (_, from) => {
      const reply = () => socket.send(`${from.address}:${from.port}`, from.port, from.address);
      // Where it is let in it is there with the answer.
      if (port === 7002) stranger.send('uninvited', from.port, from.address, reply);
      else reply();
    });
  }
  process.stdout.write('ready\n');
} else {
  const socket = await bound(0);
  const seen = new Map<number, string>();
  let uninvited = false;
  socket.on('message', (message, from) => {
    if (from.port === 7003) uninvited = true;
    else seen.set(from.port, String(message));
  });
  for (const port of ports) socket.send('?', port, address);
  const end = performance.now() + Number(seconds) * 1000;
  while (seen.size < ports.length && performance.now() < end) await sleep(20);
  await sleep(500);
  process.stdout.write(JSON.stringify({ seen: ports.flatMap((port) => seen.get(port) ?? []), uninvited }));
  process.exit();
}
