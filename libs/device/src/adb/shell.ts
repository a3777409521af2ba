import { PassThrough, Writable, type Readable } from 'node:stream';
import { adbLost, noRoot } from './errors.ts';
import { openService, type AdbServer } from './smart-socket.ts';

/** A script that runs on a phone as root. Closing its standard input is how it learns that we are gone. */
export interface PhoneProcess {
  stdin: Writable;
  stdout: Readable;
  stderr: Readable;
  /** Its exit status; rejects with `adb-lost` where the connection ended before the script. */
  status: Promise<number>;
  /** Cuts the connection. */
  end(): void;
}

/** How scripts get to a phone; the stand-in of the tests runs them on this machine. */
export interface PhoneShell {
  /** Starts a script as root, `args` being its positional parameters. `$SOVEREIGN_ROOT` names how root was had. */
  start(script: string, args: readonly string[]): Promise<PhoneProcess>;
}

/** One word of a POSIX shell. */
export const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** Printed on standard error before the script begins: without it, root was never had. */
const READY = 'sovereign-root\n';

/**
 * One string for the phone's shell that runs a script as root, however root is had there. Android's `su -c` joins its
 * arguments and parses them once more, a userdebug build's `su 0` does not: so the same command is handed over as one
 * quoted word wherever it is parsed again. Pure.
 */
export function asRoot(script: string, args: readonly string[]): string {
  const command = ['exec sh -c', ...[`umask 077\n${script}`, 'sh', ...args].map(quote)].join(' ');
  const as = (flavour: string): string =>
    `"SOVEREIGN_ROOT=${flavour}; export SOVEREIGN_ROOT; echo ${READY.trim()} >&2; $c"`;
  return [
    `c=${quote(command)}`,
    `[ "$(id -u)" != 0 ] || exec sh -c ${as('adbd')}`,
    'case $(su -v 2>/dev/null) in',
    `*MAGISK*) exec su -c ${as('magisk')};;`,
    `*KernelSU*) exec su -c ${as('kernelsu')};;`,
    `*APatch*) exec su -c ${as('apatch')};;`,
    'esac',
    `[ "$(su 0 id -u 2>/dev/null)" != 0 ] || exec su 0 sh -c ${as('userdebug')}`,
    'echo "$(su -c id 2>&1)" >&2; exit 1',
  ].join('\n');
}

/** Packets of the shell protocol (adb's shell_protocol.h): id, length (32 bits, little-endian), data. */
const ids = { stdin: 0, stdout: 1, stderr: 2, exit: 3, closeStdin: 4 } as const;

/** Bytes of our input that are on their way at once. */
const CHUNK = 65_536;

function packet(id: number, data: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(id, 0);
  head.writeUInt32LE(data.length, 1);
  return Buffer.concat([head, data]);
}

/** Puts packets together from what comes in, whatever its pieces are. */
function packets(take: (id: number, data: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 5) {
      const length = rest.readUInt32LE(1);
      if (rest.length < 5 + length) return;
      take(rest.readUInt8(0), rest.subarray(5, 5 + length));
      rest = rest.subarray(5 + length);
    }
  };
}

/**
 * Scripts over adb. The shell protocol is spoken here, since adbkit knows only the one before it, which has neither exit
 * status nor a standard error of its own, and ends lines anew. Starting the `adb` program for each script instead would
 * cost a process each, and one of another version than the running server ends that server, with everybody's forwards.
 */
export class AdbShell implements PhoneShell {
  readonly #server: AdbServer;
  readonly #serial: string;

  constructor(server: AdbServer, serial: string) {
    this.#server = server;
    this.#serial = serial;
  }

  async start(script: string, args: readonly string[]): Promise<PhoneProcess> {
    const command = asRoot(script, args);
    const socket = await openService(this.#server, this.#serial, [
      `host:transport:${this.#serial}`,
      `shell,v2,raw:${command}`,
    ]);
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const streams = { [ids.stdout]: stdout, [ids.stderr]: stderr } as Record<number, PassThrough>;
    let exit: number | undefined;
    let said = '';
    let isReady = false;
    const status = new Promise<number>((resolve, reject) => {
      const read = packets((id, data) => {
        if (id === ids.exit) exit = data[0] ?? 1;
        else if (id === ids.stderr && !isReady) {
          said += data.toString();
          // What su or the phone's shell says before it is no part of the script.
          const at = `\n${said}`.indexOf(`\n${READY}`);
          isReady = at >= 0;
          if (isReady) stderr.write(said.slice(at + READY.length));
        } else if (streams[id]?.write(data) === false) {
          socket.pause();
          streams[id].once('drain', () => socket.resume());
        }
      });
      socket.on('data', read);
      socket.once('close', () => {
        stdout.end();
        stderr.end();
        if (exit === undefined) reject(adbLost(this.#serial));
        else if (!isReady) reject(noRoot(this.#serial, said.trim()));
        else resolve(exit);
      });
      socket.resume();
    });
    // Whoever reads the output first must not make this an unhandled rejection.
    status.catch(() => undefined);
    const stdin = new Writable({
      highWaterMark: CHUNK,
      write: (chunk: Buffer, _encoding, done) => send(ids.stdin, chunk, done),
      final: (done) => send(ids.closeStdin, Buffer.alloc(0), done),
    });
    const send = (id: number, data: Buffer, done: () => void): void => {
      if (socket.destroyed || exit !== undefined) done();
      else socket.write(packet(id, data), () => done());
    };
    return { stdin, stdout, stderr, status, end: () => void socket.destroy() };
  }
}
