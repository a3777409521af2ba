import { connect, type Socket } from 'node:net';
import { adbLost, failureError, noServer } from './errors.ts';

/** An adb server; it always listens on this machine's loopback address. */
export interface AdbServer {
  port: number;
}

/**
 * Opens a service of an adb server: each request is four hex digits with its length and the request, each answer is
 * `OKAY` or `FAIL` with a message (adb's OVERVIEW.TXT). The socket that comes back is past the last answer.
 * @param requests one after another on the same socket, as `host:transport:SERIAL` and then the device's own service
 */
export async function openService(
  server: AdbServer,
  serial: string,
  requests: readonly string[],
): Promise<Socket> {
  const socket = connect({ port: server.port, host: '127.0.0.1', noDelay: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      // Later ones are followed by `close`, which is what everybody waits for.
      socket.on('error', reject);
    }).catch((cause: unknown) => {
      throw noServer(server.port, cause);
    });
    for (const request of requests) {
      const bytes = Buffer.from(request);
      socket.write(Buffer.concat([Buffer.from(bytes.length.toString(16).padStart(4, '0')), bytes]));
      const answer = (await readExactly(socket, serial, 4)).toString();
      if (answer === 'OKAY') continue;
      const length = parseInt((await readExactly(socket, serial, 4)).toString(), 16);
      throw failureError(serial, (await readExactly(socket, serial, length)).toString());
    }
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Takes so many bytes and leaves the rest in the socket, which is paused then. */
function readExactly(socket: Socket, serial: string, count: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let held: Buffer = Buffer.alloc(0);
    const lost = (): void => reject(adbLost(serial));
    const take = (chunk: Buffer): void => {
      held = Buffer.concat([held, chunk]);
      if (held.length < count) return;
      socket.removeListener('data', take);
      socket.removeListener('close', lost);
      socket.pause();
      if (held.length > count) socket.unshift(held.subarray(count));
      resolve(held.subarray(0, count));
    };
    socket.once('close', lost);
    socket.on('data', take);
    socket.resume();
  });
}
