import { spawn } from 'node:child_process';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A phone of the stand-in. */
export interface StandInPhone {
  serial: string;
  /** adb's word for it; the message of a refusal where it is not `device`. */
  state: string;
  /** Program and arguments before the command that comes in; the shell of the stand-in phone. */
  shell: readonly string[];
  env?: NodeJS.ProcessEnv;
}

/**
 * A stand-in for an adb server with phones: it lists them, keeps forwards, and runs the shell protocol over a shell of
 * this machine. `pieces` sends every answer byte by byte, `drop` hangs up in the middle of a script's output, `refusal`
 * is its answer to whoever asks for a forward; empty, it hangs up there.
 */
export class AdbServerStandIn {
  readonly phones: StandInPhone[];
  readonly forwards: { serial: string; local: string; remote: string }[] = [];
  pieces = false;
  drop = false;
  refusal: string | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(phones: readonly StandInPhone[]) {
    this.phones = [...phones];
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => this.#sockets.delete(socket));
      // A workstation that hangs up ends it.
      this.#serve(socket).catch(() => undefined);
    });
    onTestFinished(() => {
      this.#server.close();
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  listen(): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => resolve((this.#server.address() as AddressInfo).port));
    });
  }

  #send(socket: Socket, bytes: Buffer | string): void {
    const all = Buffer.from(bytes);
    if (!this.pieces) socket.write(all);
    else for (const byte of all) socket.write(Buffer.from([byte]));
  }

  async #serve(socket: Socket): Promise<void> {
    let rest = Buffer.alloc(0);
    let phone: StandInPhone | undefined;
    let input: ((chunk: Buffer) => void) | undefined;
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      rest = Buffer.concat([rest, chunk]);
      while (input === undefined && rest.length >= 4) {
        const length = parseInt(rest.subarray(0, 4).toString(), 16);
        if (rest.length < 4 + length) break;
        const request = rest.subarray(4, 4 + length).toString();
        rest = rest.subarray(4 + length);
        const transport = /^host:transport:(.*)$/.exec(request)?.[1];
        if (transport !== undefined) {
          phone = this.phones.find(({ serial }) => serial === transport);
          if (phone === undefined) this.#fail(socket, `device '${transport}' not found`);
          else if (phone.state !== 'device') this.#fail(socket, phone.state);
          else this.#send(socket, 'OKAY');
        } else if (request.startsWith('shell,v2,raw:') && phone !== undefined) {
          this.#send(socket, 'OKAY');
          input = this.#shell(socket, phone, request.slice('shell,v2,raw:'.length));
        } else this.#host(socket, request);
      }
      if (input !== undefined && rest.length > 0) {
        input(rest);
        rest = Buffer.alloc(0);
      }
    }
  }

  #host(socket: Socket, request: string): void {
    const answer = (text: string): void => {
      this.#send(socket, `OKAY${text.length.toString(16).padStart(4, '0')}${text}`);
      socket.end();
    };
    const [, serial = '', verb = ''] =
      /^host-serial:(.*?):((?:forward|killforward|list-forward).*)$/.exec(request) ?? [];
    const [, local = '', remote = ''] = /^forward:(.*);(.*)$/.exec(verb) ?? [];
    if (request === 'host:devices') {
      answer(this.phones.map((phone) => `${phone.serial}\t${phone.state.split(' ')[0] ?? ''}\n`).join(''));
    } else if (verb !== '' && this.refusal === '') {
      socket.destroy();
    } else if (verb !== '' && this.refusal !== undefined) {
      this.#fail(socket, this.refusal);
    } else if (verb === 'list-forward') {
      answer(
        this.forwards.map((forward) => `${forward.serial} ${forward.local} ${forward.remote}\n`).join(''),
      );
    } else if (local !== '') {
      this.forwards.push({ serial, local, remote });
      this.#send(socket, 'OKAYOKAY');
      socket.end();
    } else if (verb.startsWith('killforward:')) {
      const at = this.forwards.findIndex((forward) => verb.endsWith(`:${forward.local}`));
      this.forwards.splice(at, 1);
      this.#send(socket, 'OKAYOKAY');
      socket.end();
    } else this.#fail(socket, `unknown host service ${request}`);
  }

  #fail(socket: Socket, message: string): void {
    this.#send(socket, `FAIL${message.length.toString(16).padStart(4, '0')}${message}`);
    socket.end();
  }

  #shell(socket: Socket, { shell, env }: StandInPhone, command: string): (chunk: Buffer) => void {
    const [program = 'sh', ...args] = shell;
    const child = spawn(program, [...args, command], { env, stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin.on('error', () => undefined);
    socket.once('close', () => child.stdin.destroy());
    const packet = (id: number, data: Buffer): void => {
      const head = Buffer.alloc(5);
      head.writeUInt8(id, 0);
      head.writeUInt32LE(data.length, 1);
      this.#send(socket, Buffer.concat([head, data]));
    };
    child.stdout.on('data', (data: Buffer) => {
      packet(1, data);
      if (this.drop) socket.destroy();
    });
    child.stderr.on('data', (data: Buffer) => packet(2, data));
    child.once('close', (code) => {
      packet(3, Buffer.from([code ?? 1]));
      socket.end();
    });
    let rest = Buffer.alloc(0);
    return (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 5) {
        const length = rest.readUInt32LE(1);
        if (rest.length < 5 + length) return;
        if (rest[0] === 0) child.stdin.write(rest.subarray(5, 5 + length));
        if (rest[0] === 4) child.stdin.end();
        rest = rest.subarray(5 + length);
      }
    };
  }
}
