import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { vi } from 'vitest';

/** The guest's own shell first; the other shows that nothing depends on it. */
export const shells: readonly [name: string, argv: readonly string[]][] = [
  ['busybox ash', ['busybox', 'ash']],
  ['dash', ['dash']],
];

/** Generous: a machine that builds at the same time is slow. In milliseconds. */
export const SOON = { timeout: 20_000, interval: 20 };

const library = join(import.meta.dirname, '../overlay/usr/lib/sovereign');

/** A folder that stands in for the guest's /run, with stand-ins for the programs that only a guest has. */
export class StandInGuest {
  readonly folder = mkdtempSync(join(tmpdir(), 'sovereign-guest-'));
  /** Times of the scripts that a test makes shorter. */
  hurry: Record<string, string> = {};
  readonly #shell: readonly string[];
  /** Held open both ways, as the launcher holds it. */
  readonly #orders: number;
  readonly #console: number;
  readonly #started: ChildProcess[] = [];

  constructor(shell: readonly string[]) {
    this.#shell = shell;
    for (const name of ['state', 'config', 'bin']) mkdirSync(join(this.folder, name));
    spawnSync('mkfifo', [this.path('agent'), this.path('in')]);
    this.#orders = openSync(this.path('in'), 'r+');
    this.#console = openSync(this.path('console'), 'a');
    this.write('config/guest.conf', 'hostname sql\neth0-address 10.0.2.15/24\neth0-gateway 10.0.2.2\n');
    this.write('service.conf', `schema 1\nname sql\nport postgres 5432\nhealth ${this.path('bin/health')}\n`);
    this.program('health', 'exit 0');
    for (const name of ['poweroff', 'nft']) this.program(name, `echo "${name} $*" >>'${this.path('calls')}'`);
    this.write('calls', '');
    this.write('out', '');
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, content: string): void {
    writeFileSync(this.path(name), content);
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8');
  }

  program(name: string, body: string): void {
    const made = `bin/.${name}`;
    this.write(made, `#!/bin/sh\n${body}\n`);
    chmodSync(this.path(made), 0o755);
    // Whoever calls it just now finds the one before, or this one.
    renameSync(this.path(made), this.path(`bin/${name}`));
  }

  get #env(): NodeJS.ProcessEnv {
    return {
      PATH: `${this.path('bin')}:${process.env.PATH ?? ''}`,
      SOVEREIGN_RUN: this.folder,
      SOVEREIGN_LIB: library,
      SOVEREIGN_SERVICE_CONF: this.path('service.conf'),
      SOVEREIGN_CHANNEL: this.path('out'),
      SOVEREIGN_CHANNEL_IN: this.path('in'),
      SOVEREIGN_DATA: this.path('data'),
      SOVEREIGN_TAILSCALE_RUN: this.path('tailscale'),
      SOVEREIGN_SYS: this.path('sys'),
      SOVEREIGN_HOSTS: this.path('hosts'),
      SOVEREIGN_APPLY: this.path('bin/apply'),
      SOVEREIGN_OVERCOMMIT: this.path('overcommit'),
      SOVEREIGN_GVFORWARDER: this.path('bin/gvforwarder'),
      SOVEREIGN_PIDFILE: this.path('pid'),
      ...this.hurry,
    };
  }

  /** A disk with this virtio serial, of so many sectors. */
  disk(serial: string, sectors: number): void {
    mkdirSync(this.path('sys/block/vdb'), { recursive: true });
    this.write('sys/block/vdb/serial', serial);
    this.write('sys/block/vdb/size', `${sectors}\n`);
  }

  /** Runs a script with the shared functions loaded, to its end. */
  run(script: string): { status: number | null; stdout: string; stderr: string } {
    const [command = '', ...args] = this.#shell;
    const sources = ['common', 'settings', 'firewall'].map((name) => `. '${library}/${name}.sh'`).join('; ');
    return spawnSync(command, [...args, '-c', `${sources}; ${script}`], { env: this.#env, encoding: 'utf8' });
  }

  /** Starts one of the guest's programs; what it complains of is in the file `console`. */
  start(program: string, ...words: string[]): ChildProcess {
    const [command = '', ...args] = this.#shell;
    const started = spawn(command, [...args, join(library, program), ...words], {
      env: this.#env,
      stdio: ['ignore', 'ignore', this.#console],
      // In a group of its own, with all that it does aside.
      detached: true,
    });
    this.#started.push(started);
    return started;
  }

  /**
   * Runs one of the guest's programs, or a script of this path, to its end, with this text on its standard input.
   * @param encoding of what it prints; `latin1` for bytes that are no text
   */
  call(
    program: string,
    words: readonly string[],
    input: string | Uint8Array = '',
    encoding: 'utf8' | 'latin1' = 'utf8',
  ): { status: number | null; stdout: string; stderr: string } {
    const [command = '', ...args] = this.#shell;
    return spawnSync(command, [...args, resolve(library, program), ...words], {
      env: this.#env,
      encoding,
      input,
    });
  }

  /** Waits until the health watch has asked and told once more: what was due by its last answer has begun. */
  async nextReport(): Promise<void> {
    rmSync(this.path('state/beat'), { force: true });
    await vi.waitUntil(() => existsSync(this.path('state/beat')), SOON);
  }

  /** What the launcher writes: one line. */
  order(line: string): void {
    writeSync(this.#orders, `${line}\n`);
  }

  /** Lines on the control channel: without the boot's id. */
  get lines(): string[] {
    return this.read('out')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.slice(line.indexOf(' ') + 1));
  }

  /** Ends whatever still runs for this guest and removes it. */
  async remove(): Promise<void> {
    this.#started.forEach(endGroup);
    closeSync(this.#orders);
    closeSync(this.#console);
    // Tried again where a process that was killed right now ends its last call. (`rmSync` does so without a pause.)
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** Ends a process that leads a group, and all in it. */
export function endGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of it ended by itself.
  }
}
