import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const sources = join(import.meta.dirname, '..');
const standIn = join(import.meta.dirname, 'stand-in-vm.ts');

/** The shells and tools that the launcher has to run under; `toybox` has nothing else in its PATH. */
export const shells = {
  dash: { shell: '/usr/bin/dash', toybox: false },
  mksh: { shell: '/usr/bin/mksh', toybox: false },
  'busybox ash': { shell: '/usr/bin/busybox', toybox: false },
  'mksh with toybox': { shell: '/usr/bin/mksh', toybox: true },
} as const;
export type Shell = keyof typeof shells;

export interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

/** A device's folder with one service called `sql`, whose VM is the stand-in. */
export class DeviceFolder {
  readonly root: string;
  readonly service: string;
  readonly #env: Record<string, string>;
  readonly #mounts: [folder: string, place: string][] = [];

  constructor(shell: Shell) {
    this.root = mkdtempSync(join(tmpdir(), 'sovereign launcher '));
    this.service = join(this.root, 'services', 'sql');
    const bin = join(this.root, 'bin');
    for (const folder of [bin, join(this.service, 'log')]) mkdirSync(folder, { recursive: true });
    symlinkSync(shells[shell].shell, join(bin, 'sh'));
    if (shells[shell].toybox) {
      for (const tool of execFileSync('/usr/bin/toybox', { encoding: 'utf8' }).trim().split(/\s+/)) {
        symlinkSync('/usr/bin/toybox', join(bin, tool));
      }
    }
    this.#env = { PATH: shells[shell].toybox ? bin : `${bin}:/usr/bin:/bin`, HOME: this.root };
  }

  /** Writes a slot whose VM behaves in this way; `launch` replaces or adds lines of the plan. */
  slot(slot: 'a' | 'b', behaviour: string | string[], launch: Record<string, string | string[]> = {}): void {
    const folder = join(this.service, slot);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    [behaviour].flat().forEach((word, index) => {
      const argv = [process.execPath, '--disable-warning=ExperimentalWarning', standIn, word, this.#journal];
      writeFileSync(join(folder, `argv.${index + 1}`), argv.join('\n') + '\n');
    });
    const plan: Record<string, string | string[]> = {
      schema: '1',
      service: 'sql',
      release: createHash('sha256')
        .update(`${slot} ${String(behaviour)}`)
        .digest('hex'),
      deadline: '30',
      stop: '5',
      restarts: '2',
      'log-limit': '100000',
      'backoff-max': '1',
      'trial-spacing': '1',
      ...launch,
    };
    const lines = Object.entries(plan).flatMap(([key, values]) =>
      [values].flat().map((value) => `${key} ${value}\n`),
    );
    writeFileSync(join(folder, 'launch'), lines.join(''));
  }

  get #journal(): string {
    return join(this.root, 'journal');
  }

  /** What the stand-in saw: one line a start and a verb. */
  journal(): string[] {
    return existsSync(this.#journal) ? readFileSync(this.#journal, 'utf8').trim().split('\n') : [];
  }

  /** In one step, as the launcher does. */
  write(path: string, content: string): void {
    const file = join(this.service, path);
    writeFileSync(`${file}.new`, content);
    renameSync(`${file}.new`, file);
  }

  read(path: string): string | undefined {
    const file = join(this.service, path);
    return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
  }

  /** Another service, like `sql` as it is now. */
  copyService(name: string): void {
    const copy = join(this.root, 'services', name);
    cpSync(this.service, copy, { recursive: true });
    const plan = join(copy, 'a', 'launch');
    writeFileSync(plan, readFileSync(plan, 'utf8').replace('service sql', `service ${name}`));
  }

  /** What the workstation decided about this device. */
  settings(settings: Record<string, string>): void {
    const lines = Object.entries({ schema: '1', ...settings }).map(([key, value]) => `${key} ${value}\n`);
    writeFileSync(join(this.root, 'device.conf'), lines.join(''));
  }

  /** A stand-in for one of the device's programs, as a shell script. */
  program(name: string, ...lines: string[]): void {
    const path = join(this.root, 'bin', name);
    rmSync(path, { force: true });
    writeFileSync(path, ['#!/bin/sh', ...lines, ''].join('\n'));
    chmodSync(path, 0o755);
  }

  /** Makes the folder look like a phone: its own /sys, and programs of Android's. What `cmd` is asked is in `asked`. */
  asPhone(settings: Record<string, string>): void {
    const sys = join(this.root, 'sys');
    for (const folder of ['power', 'fs/cgroup']) mkdirSync(join(sys, folder), { recursive: true });
    for (const file of ['power/wake_lock', 'power/wake_unlock', 'fs/cgroup/cgroup.procs']) {
      writeFileSync(join(sys, file), '');
    }
    this.mount(sys, '/sys');
    this.settings({ kind: 'adb', ...settings });
    this.program('getprop', 'echo');
    this.program('cmd', `echo "$*" >>'${join(this.root, 'asked')}'`);
  }

  /** Installs the launcher under this name, some of its functions replaced by others, and makes it the current one. */
  install(name: string, changed: Record<string, string> = {}): void {
    const folder = join(this.root, 'agent', name);
    cpSync(sources, folder, { recursive: true, filter: (path) => !/\.ts$|testing$/.test(path) });
    const script = join(folder, 'launch.sh');
    // After all parts have been read, before the verb is looked at.
    const [head = '', tail = ''] = readFileSync(script, 'utf8').split('\nusage() {');
    const functions = Object.entries(changed).map(([key, body]) => `\n${key}() {\n  ${body}\n}\n`);
    writeFileSync(script, `${head}${functions.join('')}\nusage() {${tail}`);
    writeFileSync(join(this.root, 'agent', 'current'), `${name}\n`);
  }

  /** Makes everything that is launched from now on see `folder` at that place, in a mount namespace. */
  mount(folder: string, place: string): void {
    this.#mounts.push([folder, place]);
  }

  get current(): string | undefined {
    const file = join(this.root, 'agent', 'current');
    return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
  }

  get #launcher(): string {
    const { current } = this;
    return join(current === undefined ? sources : join(this.root, 'agent', current), 'launch.sh');
  }

  launch(...args: string[]): Promise<Outcome> {
    const command = [join(this.root, 'bin', 'sh'), this.#launcher, ...args];
    const mounts = this.#mounts.map((pair) => `/usr/bin/mount --bind '${pair.join("' '")}' && `);
    if (mounts.length > 0) {
      // Who is not root is, in a user namespace.
      const root = process.getuid?.() === 0 ? [] : ['--map-root-user'];
      const inside = `${mounts.join('')}exec "$@"`;
      command.unshift('/usr/bin/unshare', '--mount', ...root, '/bin/sh', '-c', inside, 'sh');
    }
    const [program = '', ...rest] = command;
    return new Promise((resolve) => {
      execFile(program, rest, { env: this.#env }, (error, stdout, stderr) => {
        resolve({ status: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
      });
    });
  }

  start = (): Promise<Outcome> => this.launch('start', this.root, 'sql');
  stop = (seconds: number): Promise<Outcome> => this.launch('stop', this.root, 'sql', String(seconds));

  /** What the launcher says of a service, or with `-` of the device. */
  async status(service = 'sql'): Promise<Record<string, string>> {
    const { stdout } = await this.launch('status', this.root);
    return Object.fromEntries(
      stdout
        .split('\n')
        .filter((line) => line.startsWith(`${service} `))
        .map((line) => /^\S+ (\S+) (.*)$/.exec(line)?.slice(1) ?? []),
    ) as Record<string, string>;
  }

  /** Processes of this folder, as `PID COMMAND`: none may be left when nothing is wanted. */
  processes(): string[] {
    return processIds()
      .map((pid) => [pid, commandLine(pid)] as const)
      .filter(([, command]) => command.includes(this.root))
      .map(([pid, command]) => `${pid} ${command}`);
  }

  /** Also the tools that a launcher or a keeper runs for a moment: what they write is in this folder. */
  #everyProcess(): number[] {
    return processIds().filter(
      (pid) => commandLine(pid).includes(this.root) || workingDirectory(pid).startsWith(this.root),
    );
  }

  /** Kills launcher and keeper at once, and what else is given. */
  async killSupervision(...others: number[]): Promise<void> {
    const end = Date.now() + 20_000;
    while ((await this.status('-')).keeper === undefined) {
      if (Date.now() > end) throw new Error('no keeper came');
      await sleep(50);
    }
    const { launcher } = await this.status();
    if (launcher === undefined) throw new Error('no launcher runs');
    // At once: either of them brings back the other, and a second keeper may wait for the first one's lock. Stopped, they
    // look alive to each other until all of them are.
    signal(Number(launcher), 'SIGSTOP');
    const keepers = this.processes().filter((line) => line.includes(' keep '));
    const pids = [...keepers, launcher].map((line) => Number(line.split(' ')[0])).concat(others);
    for (const pid of pids) signal(pid, 'SIGSTOP');
    for (const pid of pids) signal(pid, 'SIGKILL');
    await ended(pids);
  }

  /** Kills launcher and keeper, so that nobody brings them back while the VM runs. */
  async abandon(): Promise<void> {
    const { launcher, pid: vm } = await this.status();
    // The VM is one of these until it is executed.
    const shells = this.processes()
      .filter((line) => line.includes(' run '))
      .map((line) => Number(line.split(' ')[0]))
      .filter((pid) => pid !== Number(vm));
    // The launcher's child waits for the VM, and a child of that one is the guard.
    const waiting = shells.filter((pid) => parent(pid) === Number(launcher));
    await this.killSupervision(...shells.filter((pid) => waiting.includes(parent(pid))));
  }

  /** As when the power is cut: nothing of what runs here ends in order, or has time to start anything else. */
  async powerCut(): Promise<void> {
    const held = new Set<number>();
    let seen: number[];
    do {
      seen = this.#everyProcess().filter((pid) => !held.has(pid));
      for (const pid of seen) {
        held.add(pid);
        signal(pid, 'SIGSTOP');
      }
    } while (seen.length > 0);
    for (const pid of held) signal(pid, 'SIGKILL');
    await ended([...held]);
  }

  /** Waits until the status has these values; fails with the last one seen. */
  async until(
    wanted: Record<string, string | RegExp>,
    seconds = 60,
    service = 'sql',
  ): Promise<Record<string, string>> {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      const seen = await this.status(service);
      const matches = Object.entries(wanted).every(([key, value]) =>
        typeof value === 'string' ? seen[key] === value : value.test(seen[key] ?? ''),
      );
      if (matches) return seen;
      if (Date.now() > end) {
        throw new Error(`waited for ${String(Object.entries(wanted))}, saw ${JSON.stringify(seen)}`);
      }
      await sleep(50);
    }
  }

  /** Ends whatever still runs in this folder and removes it. */
  async remove(): Promise<void> {
    await this.launch('halt', this.root, '0');
    await this.powerCut();
    await rm(this.root, { recursive: true, force: true });
  }
}

const processIds = (): number[] =>
  readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);

/** Returns once none of them runs any more: what is killed looks alive for a moment. */
export async function ended(pids: number[]): Promise<void> {
  while (pids.some(runs)) await sleep(10);
}

/** The process that made this one, 0 for what is gone. */
export function parent(pid: number): number {
  try {
    const [, ppid] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return Number(ppid);
  } catch {
    return 0;
  }
}

/** For a process that may be gone by now. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It went with another one.
  }
}

/** With blanks between its arguments; empty for what is gone. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

/** Empty for what is gone. */
function workingDirectory(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

/** True while the process exists and is no zombie. */
export function runs(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
