import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { Lab, type LabState } from './lab.ts';

/** Where the one lab for people is spoken to: it tells its state to who asks, and ends when it is told `stop`. */
export const SOCKET = '/run/sovereign/tailnet-lab';

/** Holds a lab until it is told to stop, or interrupted. */
export async function hold(): Promise<void> {
  const lab = await Lab.start();
  const server = createServer({ allowHalfOpen: true });
  try {
    await lab.laptop.up(lab.server.url, await lab.server.key());
    await mkdir(dirname(SOCKET), { recursive: true });
    // Nobody answered there, or this would not run.
    await rm(SOCKET, { force: true });
    server.listen(SOCKET);
    await new Promise<void>((resolve) => {
      process.once('SIGTERM', resolve).once('SIGINT', resolve);
      server.on('connection', (socket: Socket) => {
        socket.on('error', () => socket.destroy());
        socket.on('data', (word) => {
          if (String(word).trim() === 'stop') resolve();
        });
        socket.end(`${JSON.stringify(lab.state)}\n`);
      });
    });
  } finally {
    await lab.remove();
    // Who waits for the end waits for this.
    server.close();
    await rm(SOCKET, { force: true });
  }
}

/** The lab that runs; undefined where none does. */
export async function ask(word: 'state' | 'stop'): Promise<LabState | undefined> {
  const socket = connect(SOCKET);
  try {
    await once(socket, 'connect');
  } catch {
    return undefined;
  }
  socket.end(`${word}\n`);
  return JSON.parse(await text(socket)) as LabState;
}
