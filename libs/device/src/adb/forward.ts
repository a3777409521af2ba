import { createServer, type AddressInfo } from 'node:net';
import { adbLost } from './errors.ts';
import { client, type AdbPhone } from './client.ts';
import type { AdbServer } from './smart-socket.ts';

/** Forwards of a phone's ports to this machine's loopback address, kept by the adb server. */
export class Forwards {
  readonly #server: AdbServer;
  readonly #serial: string;
  /** One after another, so that two do not take the same port. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(server: AdbServer, serial: string) {
    this.#server = server;
    this.#serial = serial;
  }

  /** The local port that leads to this port of the phone: one that exists, else the same number, else a free one. */
  open(port: number): Promise<number> {
    const opened = this.#last.then(() => this.#open(port));
    this.#last = opened.catch(() => undefined);
    return opened;
  }

  async #open(port: number): Promise<number> {
    const known = await this.#list();
    const remote = `tcp:${port}`;
    const there = known.find((forward) => forward.serial === this.#serial && forward.remote === remote);
    const local = /^tcp:(\d+)$/.exec(there?.local ?? '')?.[1];
    if (local !== undefined) return Number(local);
    // adb would take a port away from another phone's forward without a word, but from no other program.
    const chosen = (await bindable(port)) ?? (await bindable(0)) ?? port;
    await this.#ask((phone) => phone.forward(`tcp:${chosen}`, remote));
    return chosen;
  }

  #list() {
    return this.#ask((phone) => phone.listForwards());
  }

  async #ask<T>(request: (phone: AdbPhone) => PromiseLike<T>): Promise<T> {
    try {
      return await request(client(this.#server).getDevice(this.#serial));
    } catch (cause) {
      throw adbLost(this.#serial, cause);
    }
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
