import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { hostname, release as hostKernel } from 'node:os';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { note, SovereignError } from '@sovereign/report';
import { sha256File, unlessMissing, withLock, writeFileAtomic } from '@sovereign/store';
import { execa } from 'execa';
import type {
  DeviceSettings,
  Host,
  Machine,
  Probe,
  ScriptOptions,
  ScriptResult,
  VmmCommand,
} from '../host.ts';
import type { NetworkMode, NetworkPlan } from '../network/guest.ts';
import { chooseAccelerator } from './accelerator.ts';
import { findQemu } from './find-qemu.ts';
import { followLines } from './lines.ts';
import { probeLocal } from './probe.ts';
import { toArgs } from './qemu.ts';

/** MiB of this machine's file system that no service may use. */
const RESERVE = 256;

/** This machine as a device: its own file system, QEMU as VMM. */
export class LocalHost implements Host {
  readonly id = 'local';
  readonly kind = 'local';
  readonly root: string;
  readonly #closed: boolean;

  /** @param options whether its guests reach nothing and nobody: their published ports alone lead to them */
  constructor(root: string, { closed = false }: { closed?: boolean } = {}) {
    this.root = root;
    this.#closed = closed;
  }

  #path(path: string): string {
    return join(this.root, path);
  }

  probe(): Promise<Probe[]> {
    return probeLocal(this.root);
  }

  /** What this machine lacks is installed by its owner's leave, not by a device. */
  fixable(): Promise<string[]> {
    return Promise.resolve([]);
  }

  fix(): Promise<void> {
    return Promise.resolve();
  }

  async sh(script: string, args: readonly string[], options: ScriptOptions = {}): Promise<ScriptResult> {
    const { exitCode, stdout, stderr, timedOut } = await execa('sh', ['-c', script, 'sh', ...args], {
      reject: false,
      stdin: 'ignore',
      // The launcher that is started here lives on: it takes nothing with it of who started it.
      env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '/' },
      extendEnv: false,
      ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
    });
    return { status: timedOut ? 124 : (exitCode ?? 1), stdout, stderr };
  }

  async read(path: string): Promise<Buffer | undefined> {
    return unlessMissing(() => readFile(this.#path(path)));
  }

  async write(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
    await this.#folderOf(path);
    await writeFileAtomic(this.#path(path), content, mode);
  }

  async writeFolder(path: string, files: Readonly<Record<string, string>>): Promise<void> {
    const fresh = `${path}.new`;
    await this.remove(fresh);
    for (const [name, content] of Object.entries(files)) await this.write(`${fresh}/${name}`, content);
    await this.remove(path);
    await this.rename(fresh, path);
  }

  async list(folder: string): Promise<string[]> {
    const names = await unlessMissing(() => readdir(this.#path(folder)));
    return (names ?? []).sort();
  }

  async remove(path: string): Promise<void> {
    await rm(this.#path(path), { recursive: true, force: true });
  }

  async rename(from: string, to: string): Promise<void> {
    await rename(this.#path(from), this.#path(to));
  }

  async freeSpace(): Promise<number> {
    await mkdir(this.root, { recursive: true, mode: 0o700 });
    const { bavail, bsize } = await statfs(this.root);
    return bavail * bsize;
  }

  async digests(paths: readonly string[]): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    for (const path of paths) {
      const digest = await unlessMissing(() => sha256File(this.#path(path)));
      if (digest !== undefined) found.set(path, digest);
    }
    return found;
  }

  async put(local: string, path: string, sha256: string, onBytes: (count: number) => void): Promise<number> {
    await this.#folderOf(path);
    const temporary = `${this.#path(path)}.${randomUUID()}.tmp`;
    let size = 0;
    const count = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        size += chunk.length;
        onBytes(chunk.length);
        done(null, chunk);
      },
    });
    try {
      await pipeline(
        createReadStream(local),
        count,
        createWriteStream(temporary, { flush: true, flags: 'wx' }),
      );
      const got = await sha256File(temporary);
      if (got !== sha256) {
        throw new SovereignError({
          code: 'wrong-digest',
          what: `the file is not the one that was built: its digest is ${got}`,
          on: local,
          hint: 'Build it again',
        });
      }
      await rename(temporary, this.#path(path));
      return size;
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  async makeDisk(path: string, size: number, mark: string, allocated: boolean): Promise<void> {
    await this.#folderOf(path);
    const disk = await open(this.#path(path), 'w', 0o600);
    try {
      await disk.write(mark, 0);
      await disk.truncate(size);
      if (allocated) await this.#allocate(path, size);
      await disk.sync();
    } finally {
      await disk.close();
    }
  }

  async growDisk(path: string, size: number, allocated: boolean): Promise<void> {
    const disk = await open(this.#path(path), 'r+');
    try {
      if (size > (await disk.stat()).size) await disk.truncate(size);
      if (allocated) await this.#allocate(path, size);
      await disk.sync();
    } finally {
      await disk.close();
    }
  }

  async #allocate(path: string, size: number): Promise<void> {
    const { status, stderr } = await this.sh('fallocate -l "$2" "$1"', [this.#path(path), String(size)]);
    if (status === 0) return;
    throw new SovereignError({
      code: 'not-allocated',
      what: `the space of the disk could not be taken: ${stderr.trim()}`,
      on: this.#path(path),
      hint: 'Free some space, or choose a file system that can allocate a file',
    });
  }

  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    const lock = this.#path('device.lock');
    await mkdir(this.root, { recursive: true, mode: 0o700 });
    const told = setTimeout(() => note('waiting: another sovereign process changes this device'), 1000);
    try {
      return await withLock(lock, () => {
        clearTimeout(told);
        return work();
      });
    } finally {
      clearTimeout(told);
    }
  }

  portIsFree(port: number): Promise<boolean> {
    return new Promise((resolve) => {
      const server = createServer();
      server.once('error', () => resolve(false));
      server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
    });
  }

  forward(port: number): Promise<number> {
    return Promise.resolve(port);
  }

  endForwards(): Promise<void> {
    return Promise.resolve();
  }

  name(): Promise<string> {
    return Promise.resolve(hostname().split('.')[0] ?? '');
  }

  arch(): Promise<'amd64' | 'arm64'> {
    return Promise.resolve(process.arch === 'arm64' ? 'arm64' : 'amd64');
  }

  platform(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  network(): Promise<NetworkPlan> {
    // QEMU's user network has a resolver of its own.
    return Promise.resolve({ mode: 'user', dns: ['10.0.2.3'] });
  }

  networkMode(): Promise<NetworkMode> {
    return Promise.resolve('user');
  }

  settings(): Promise<DeviceSettings> {
    // Data disks are sparse here: without it a guest meets the end of this file system as a broken disk.
    return Promise.resolve({ reserve: RESERVE, awake: false });
  }

  preparation(): Promise<string[]> {
    return Promise.resolve([]);
  }

  prepare(): Promise<void> {
    return Promise.resolve();
  }

  leave(): Promise<void> {
    return Promise.resolve();
  }

  async command(machine: Machine): Promise<VmmCommand> {
    const { binary, version } = await findQemu();
    const accelerator = await this.#accelerator(binary, version, machine.kernel);
    const argv = toArgs(machine, { binary, accelerator, closed: this.#closed });
    return { variants: [{ argv, cpus: machine.cpus }], control: 'stdio', extendedExit: false };
  }

  /** The answer is kept until QEMU or this machine's kernel changes, since asking may take ten seconds. */
  async #accelerator(binary: string, version: string, kernel: string): Promise<'tcg' | 'kvm'> {
    if (process.arch !== 'arm64') return 'tcg';
    const key = `${binary} ${version} ${hostKernel()}`;
    const [known, answer] = (await this.read('accelerator'))?.toString().trim().split('\n') ?? [];
    if (known === key && (answer === 'tcg' || answer === 'kvm')) return answer;
    const accelerator = await chooseAccelerator({ binary, kernel });
    await this.write('accelerator', `${key}\n${accelerator}\n`);
    return accelerator;
  }

  lines(path: string, follow: boolean, signal: AbortSignal): AsyncIterable<string> {
    return followLines(this.#path(path), follow, signal);
  }

  async #folderOf(path: string): Promise<void> {
    await mkdir(dirname(this.#path(path)), { recursive: true, mode: 0o700 });
  }
}
