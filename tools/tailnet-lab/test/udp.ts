import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

/**
 * Asks what a router does to UDP.
 *
 * usage: udp.ts serve ADDRESS          answers on ports 7001 and 7002 with the source that it sees; after the
 *                                      second it also writes from port 7003, which nobody asked
 *        udp.ts ask ADDRESS            prints {"seen": [SOURCE, SOURCE], "uninvited": BOOLEAN}
 */
const [mode, address = ''] = process.argv.slice(2);

async function bound(port: number): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(port, mode === 'serve' ? address : undefined);
  await once(socket, 'listening');
  return socket;
}

if (mode === 'serve') {
  const stranger = await bound(7003);
  for (const port of [7001, 7002]) {
    const socket = await bound(port);
    socket.on('message', (_, from) => {
      socket.send(`${from.address}:${from.port}`, from.port, from.address);
      if (port === 7002) stranger.send('uninvited', from.port, from.address);
    });
  }
  process.stdout.write('ready\n');
} else {
  const socket = await bound(0);
  const seen: string[] = [];
  let uninvited = false;
  socket.on('message', (message, from) => {
    if (from.port === 7003) uninvited = true;
    else seen.push(String(message));
  });
  for (const port of [7001, 7002]) {
    socket.send('?', port, address);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  process.stdout.write(JSON.stringify({ seen, uninvited }));
  process.exit();
}
