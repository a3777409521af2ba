import { createServer, type AddressInfo } from 'node:net';
import { adbLost, failureError, noServer } from './errors.ts';
import { answers, client } from './client.ts';
import { openService, type AdbServer } from './smart-socket.ts';

/** Ports of a phone on this machine's loopback address. */
export interface Forwards {
  /** The local port that leads to this port of the phone: one that exists, else the same number, else a free one. */
  open(port: number): Promise<number>;
  /** Takes the forwards to these ports away. */
  close(ports: readonly number[]): Promise<void>;
}

/** Kept by the adb server until the phone is gone. */
export function adbForwards(server: AdbServer, serial: string): Forwards {
  const phone = client(server).getDevice(serial);
  const known = async (port: number): Promise<string | undefined> => {
    const all = await guarded(server, serial, () => phone.listForwards());
    return all.find((forward) => forward.serial === serial && forward.remote === `tcp:${port}`)?.local;
  };
  const open = async (port: number): Promise<number> => {
    const there = /^tcp:(\d+)$/.exec((await known(port)) ?? '')?.[1];
    if (there !== undefined) return Number(there);
    // adb would take a port away from another phone's forward without a word; what can be bound is nobody's.
    const chosen = (await bindable(port)) ?? (await bindable(0)) ?? port;
    await guarded(server, serial, () => phone.forward(`tcp:${chosen}`, `tcp:${port}`));
    return chosen;
  };
  // One after another, so that two do not take the same port.
  let last: Promise<unknown> = Promise.resolve();
  return {
    open: (port) => {
      const opened = last.then(() => open(port));
      last = opened.catch(() => undefined);
      return opened;
    },
    close: async (ports) => {
      for (const port of ports) {
        const local = await known(port);
        if (local === undefined) continue;
        // adbkit knows no way to end a forward.
        (await openService(server, serial, [`host-serial:${serial}:killforward:${local}`])).destroy();
      }
    },
  };
}

async function guarded<T>(server: AdbServer, serial: string, request: () => PromiseLike<T>): Promise<T> {
  // adbkit would start one there.
  if (!(await answers(server))) throw noServer(server.port, undefined);
  try {
    return await request();
  } catch (cause) {
    // adbkit exports no class of its errors.
    const refusal = /^Failure: '(.*)'$/s.exec(cause instanceof Error ? cause.message : '')?.[1];
    throw refusal === undefined ? adbLost(serial, cause) : failureError(serial, refusal);
  }
}

/** This port, or with 0 any free one; undefined where somebody listens on it. */
function bindable(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const { port: bound } = server.address() as AddressInfo;
      server.close(() => resolve(bound));
    });
  });
}
