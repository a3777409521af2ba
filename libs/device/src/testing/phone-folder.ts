import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { onTestFinished } from 'vitest';
import { adbLost } from '../adb/errors.ts';
import type { Forwards } from '../adb/forward.ts';
import { AdbHost } from '../adb/host.ts';
import type { PhoneProcess, PhoneShell } from '../adb/shell.ts';
import { HostedDevice } from '../device.ts';
import { capabilitiesOf } from './phone.ts';

/**
 * A stand-in for the phone's side: a folder of this machine, and scripts that run there under mksh with nothing but
 * toybox. How many ran is counted, and the connection can be cut at any of them.
 */
export class PhoneFolder implements PhoneShell {
  readonly folder: string;
  readonly root: string;
  /** Scripts that were started, which is round trips. */
  count = 0;
  /** The script at which the connection dies: before it runs, or after it ran and before its answer came. */
  cut: { at: number; when: 'before' | 'after' } | undefined;
  /** Bytes of standard input that reach a script before the connection dies. */
  cutInput: number | undefined;
  /** The script from which on no byte can be written: files are made, and stay empty. */
  full = Infinity;
  readonly #bin: string;
  readonly #running = new Map<PhoneProcess, { child: ChildProcess; ended: Promise<unknown> }>();

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'sovereign-phone-'));
    this.root = join(this.folder, 'sovereign');
    this.#bin = join(this.folder, 'bin');
    mkdirSync(this.#bin);
    symlinkSync('/usr/bin/mksh', join(this.#bin, 'sh'));
    for (const tool of execFileSync('/usr/bin/toybox', { encoding: 'utf8' }).trim().split(/\s+/)) {
      symlinkSync('/usr/bin/toybox', join(this.#bin, tool));
    }
    onTestFinished(async () => {
      this.unplug();
      // A script goes on without its connection, and so does what it waits for: it would write into what is removed.
      for (const { child } of this.#running.values()) killGroup(child);
      await this.quiet();
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  /** The phone as a workstation sees it; each call is another workstation's process. */
  host(): AdbHost {
    const forwards: Forwards = {
      open: (port) => Promise.resolve(port),
      close: () => Promise.resolve(),
    };
    const host = new AdbHost({ serial: 'phone', shell: this, forwards, root: this.root });
    // Ports belong to this machine, where other tests listen.
    host.portIsFree = () => Promise.resolve(true);
    // Without a boot hook: it would lie outside of the folder.
    host.capabilities = () => Promise.resolve(capabilitiesOf(15, { root: 'userdebug' }));
    return host;
  }

  device = (): HostedDevice => new HostedDevice(this.host());

  /** Puts a script in the place of one of the phone's programs. */
  program(name: string, lines: readonly string[]): void {
    rmSync(join(this.#bin, name), { force: true });
    writeFileSync(join(this.#bin, name), ['#!/usr/bin/mksh', ...lines, ''].join('\n'));
    chmodSync(join(this.#bin, name), 0o755);
  }

  /** Gives the phone's own program back. */
  restore(name: string): void {
    rmSync(join(this.#bin, name), { force: true });
    symlinkSync('/usr/bin/toybox', join(this.#bin, name));
  }

  /** Ends every connection that is open now. */
  unplug(): void {
    for (const process of this.#running.keys()) process.end();
  }

  /** Until every script that was started has ended, and all that it started: one that is cut off goes on for a while. */
  async quiet(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  start(script: string, args: readonly string[]): Promise<PhoneProcess> {
    this.count += 1;
    const { cut } = this;
    const dead =
      cut !== undefined && (this.count > cut.at || (this.count === cut.at && cut.when === 'before'));
    if (dead) {
      this.unplug();
      return Promise.reject(adbLost('phone'));
    }
    const limits = this.count >= this.full ? "trap '' XFSZ; ulimit -f 0\n" : '';
    const child = spawn(join(this.#bin, 'sh'), ['-c', limits + script, 'sh', ...args], {
      env: { PATH: this.#bin },
      stdio: ['pipe', 'pipe', 'pipe'],
      // A group of its own, by which it is ended with all that it started.
      detached: true,
    });
    let ended = false;
    child.stdin.on('error', () => undefined);
    const lost = cut?.at === this.count;
    const stdout = child.stdout.pipe(new PassThrough());
    const stderr = child.stderr.pipe(new PassThrough());
    // What still comes after the end is nobody's.
    for (const stream of [stdout, stderr]) stream.on('error', () => undefined);
    const status = new Promise<number>((resolve, reject) => {
      child.once('close', (code) => {
        this.#running.delete(process);
        if (lost || ended) reject(adbLost('phone'));
        else resolve(code ?? 137);
      });
    });
    status.catch(() => undefined);
    const process: PhoneProcess = {
      stdin: child.stdin,
      stdout,
      stderr,
      status,
      end: () => {
        ended = true;
        child.stdin.destroy();
        stdout.end();
        stderr.end();
      },
    };
    this.#running.set(process, { child, ended: once(child, 'close') });
    this.#limitInput(process, () => (ended = true));
    return Promise.resolve(process);
  }

  #limitInput(process: PhoneProcess, lose: () => void): void {
    if (this.cutInput === undefined) return;
    let left = this.cutInput;
    const write = process.stdin.write.bind(process.stdin) as (chunk: Buffer) => boolean;
    process.stdin.write = ((chunk: Buffer | string, ...rest: unknown[]) => {
      const bytes = Buffer.from(chunk);
      left -= bytes.length;
      if (left >= 0) return (write as (...all: unknown[]) => boolean)(chunk, ...rest);
      write(bytes.subarray(0, Math.max(0, bytes.length + left)));
      lose();
      setTimeout(() => process.end(), 50);
      return true;
    }) as typeof process.stdin.write;
    const end = process.stdin.end.bind(process.stdin) as () => unknown;
    process.stdin.end = ((chunk?: Uint8Array) => {
      if (chunk !== undefined) process.stdin.write(chunk);
      end();
      return process.stdin;
    }) as typeof process.stdin.end;
  }
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}
