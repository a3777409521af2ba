import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { TOKENS } from './client.ts';

export { READ, WRITE } from './client.ts';

/** As users start it. */
const server = [join(import.meta.dirname, '../../serve')];

const running = new Set<ChildProcess>();

/** Ends what still runs, and waits until it writes nothing more. */
export async function endServers(): Promise<void> {
  const ended = [...running].map((child) => once(child, 'close'));
  for (const child of running) child.kill('SIGKILL');
  await Promise.all(ended);
}

export interface ServerProcess {
  url: string;
  pid: number;
  /** Lines of its log so far. */
  log: string[];
  /** Sends a signal and waits for the end; gives the exit status, or null after a signal. */
  end(signal: NodeJS.Signals): Promise<number | null>;
  /** Most memory that its process held at any time, in bytes. */
  peak(): number;
}

/**
 * The server as users run it, on a port of its own.
 * @param small Where it is given, the store is a file system of this many bytes, in a namespace of its own.
 */
export async function startServer(
  home: string,
  env: Readonly<Record<string, string>> = {},
  small?: number,
): Promise<ServerProcess> {
  mkdirSync(home, { recursive: true });
  const tokens = join(home, 'tokens');
  writeFileSync(tokens, TOKENS);
  chmodSync(tokens, 0o600);
  const folder = join(home, 'store');
  mkdirSync(folder, { recursive: true });
  const mounted = `mount -t tmpfs -o size=${String(small)} tmpfs "$1" && shift && exec "$@"`;
  const command =
    small === undefined
      ? server
      : ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', mounted, 'sh', folder, ...server];
  const child = spawn(command[0] ?? '', command.slice(1), {
    env: {
      PATH: process.env.PATH,
      HOME: home,
      SOVEREIGN_CACHE_LISTEN: '127.0.0.1:0',
      SOVEREIGN_CACHE_TOKENS: tokens,
      SOVEREIGN_CACHE_FOLDER: folder,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.add(child);
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  void ended.then(() => running.delete(child));
  const log: string[] = [];
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      log.push(line);
      const entry = JSON.parse(line) as { event: string; url: string };
      if (entry.event === 'started') resolve(entry.url);
    });
    void ended.then((status) => reject(new Error(`the server ended with ${String(status)}`)));
  });
  return {
    url,
    pid: child.pid ?? 0,
    log,
    end: (signal) => {
      child.kill(signal);
      return ended;
    },
    peak: () => peakOf(child.pid ?? 0),
  };
}

/** Most memory that a process held at any time, in bytes: all of it, Node's own program with it. */
export function peakOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}
