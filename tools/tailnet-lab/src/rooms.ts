import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { SovereignError } from '@sovereign/report';
import { execa } from 'execa';

const boot = join(import.meta.dirname, '..', 'boot');

/** How a program runs in a room. */
export interface Inside {
  /** Folder that it starts in; the root folder where none is given. */
  cwd?: string;
  /** Added to the environment of this process. */
  env?: Record<string, string>;
  /** Written to its standard input. */
  input?: string;
  /** Milliseconds after which it is killed. */
  timeout?: number;
}

/** What a program in a room said, and how it ended; -1 where it was killed. */
export interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

/**
 * Network namespaces by name, in one process namespace: all that runs in them ends with the process that made them,
 * or with `remove`.
 */
export class Rooms {
  readonly #holder: ChildProcess | undefined;
  readonly #pids: Map<string, number>;

  private constructor(holder: ChildProcess | undefined, pids: Record<string, number>) {
    this.#holder = holder;
    this.#pids = new Map(Object.entries(pids));
  }

  /** Rooms that another process made and holds: by name, a process in each. */
  static of(pids: Record<string, number>): Rooms {
    return new Rooms(undefined, pids);
  }

  /**
   * No room yet; `folder` is removed when all end, also where this process is killed.
   * @throws SovereignError `needs-root`
   */
  static async open(folder: string): Promise<Rooms> {
    if (process.getuid?.() !== 0) {
      throw new SovereignError({
        code: 'needs-root',
        what: 'the lab has network interfaces of its own, which takes root',
        on: 'this machine',
        hint: 'Run it as root',
      });
    }
    const holder = spawn(
      'unshare',
      [
        ...['--pid', '--fork', '--kill-child', '--mount-proc', '--mount'],
        ...['sh', join(boot, 'holder.sh'), folder],
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    await Promise.race([
      once(holder.stdout, 'data'),
      once(holder, 'exit').then(() => {
        throw new Error('no namespace could be made');
      }),
    ]);
    return new Rooms(holder, {});
  }

  /** Makes a room; `resolvConf` is the file that is its /etc/resolv.conf. */
  async add(name: string, resolvConf: string): Promise<void> {
    if (this.#holder === undefined) throw new Error('these rooms are held by another process');
    const child = spawn(
      'nsenter',
      [
        ...['--target', String(await firstChild(this.#holder)), '--pid', '--mount'],
        ...['unshare', '--net', '--mount', 'sh', join(boot, 'room.sh'), resolvConf],
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await Promise.race([
      once(child.stdout, 'data'),
      once(child, 'exit').then(() => {
        throw new Error(`the room ${name} could not be made`);
      }),
    ]);
    this.#pids.set(name, await firstChild(child));
    child.stdout.destroy();
    child.unref();
  }

  /** A process of this machine whose namespaces are the room's. */
  pid(name: string): number {
    const pid = this.#pids.get(name);
    if (pid === undefined) throw new Error(`there is no room ${name}`);
    return pid;
  }

  get pids(): Record<string, number> {
    return Object.fromEntries(this.#pids);
  }

  /** The command line that runs a program in a room. It ends with nsenter, also where that is killed. */
  enter(name: string, argv: readonly string[], cwd = '/'): [string, string[]] {
    return [
      'nsenter',
      [
        ...['--target', String(this.pid(name)), '--pid', '--net', '--mount'],
        ...['setpriv', '--pdeathsig', 'KILL'],
        ...['env', '-C', cwd, ...argv],
      ],
    ];
  }

  /** Starts a program in a room, its standard output a pipe; it ends with the room, or when it is killed. */
  spawn(name: string, argv: readonly string[]): ChildProcessByStdio<null, Readable, null> {
    return spawn(...this.enter(name, argv), { stdio: ['ignore', 'pipe', 'ignore'] });
  }

  async run(name: string, argv: readonly string[], inside: Inside = {}): Promise<Outcome> {
    const { exitCode, stdout, stderr } = await execa(...this.enter(name, argv, inside.cwd), {
      reject: false,
      forceKillAfterDelay: 1000,
      ...(inside.env === undefined ? {} : { env: inside.env }),
      ...(inside.input === undefined ? { stdin: 'ignore' } : { input: inside.input }),
      ...(inside.timeout === undefined ? {} : { timeout: inside.timeout }),
    });
    return { status: exitCode ?? -1, stdout, stderr };
  }

  /** Standard output of a program that has to succeed. */
  async must(name: string, argv: readonly string[], inside: Inside = {}): Promise<string> {
    const { status, stdout, stderr } = await this.run(name, argv, inside);
    if (status === 0) return stdout;
    throw new Error(`${argv.join(' ')} in ${name}: exit ${status}: ${stderr.trim() || stdout.trim()}`);
  }

  /** Connects two rooms by a pair of interfaces. */
  async cable([one, oneName]: [string, string], [other, otherName]: [string, string]): Promise<void> {
    await execa('ip', [
      ...['link', 'add', oneName, 'netns', String(this.pid(one)), 'type', 'veth'],
      ...['peer', 'name', otherName, 'netns', String(this.pid(other))],
    ]);
  }

  /** Lines of ip(8), in one go. */
  async ip(name: string, lines: readonly string[]): Promise<void> {
    await this.must(name, ['ip', '-batch', '-'], { input: `${lines.join('\n')}\n` });
  }

  async remove(): Promise<void> {
    const holder = this.#holder;
    if (holder?.exitCode !== null || holder.signalCode !== null) return;
    holder.stdin?.end();
    await once(holder, 'exit');
  }
}

/** The process that unshare or nsenter runs. */
async function firstChild({ pid }: ChildProcess): Promise<number> {
  const children = () => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0];
  const end = performance.now() + 10_000;
  while (performance.now() < end) {
    const found = Number(children());
    if (found > 0) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error('no namespace could be made');
}
