import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const launcher = join(import.meta.dirname, '..', 'launch.sh');
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
  slot(slot: 'a' | 'b', behaviour: string | string[], launch: Record<string, string> = {}): void {
    const folder = join(this.service, slot);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    [behaviour].flat().forEach((word, index) => {
      const argv = [process.execPath, '--disable-warning=ExperimentalWarning', standIn, word, this.#journal];
      writeFileSync(join(folder, `argv.${index + 1}`), argv.join('\n') + '\n');
    });
    const plan: Record<string, string> = {
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
    const lines = Object.entries(plan).map(([key, value]) => `${key} ${value}\n`);
    writeFileSync(join(folder, 'launch'), lines.join(''));
  }

  get #journal(): string {
    return join(this.root, 'journal');
  }

  /** What the stand-in saw: one line a start and a verb. */
  journal(): string[] {
    return existsSync(this.#journal) ? readFileSync(this.#journal, 'utf8').trim().split('\n') : [];
  }

  write(path: string, content: string): void {
    writeFileSync(join(this.service, path), content);
  }

  read(path: string): string | undefined {
    const file = join(this.service, path);
    return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
  }

  launch(...args: string[]): Promise<Outcome> {
    return new Promise((resolve) => {
      execFile(
        join(this.root, 'bin', 'sh'),
        [launcher, ...args],
        { env: this.#env },
        (error, stdout, stderr) => {
          resolve({ status: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
        },
      );
    });
  }

  start = (): Promise<Outcome> => this.launch('start', this.root, 'sql');
  stop = (seconds: number): Promise<Outcome> => this.launch('stop', this.root, 'sql', String(seconds));

  async status(): Promise<Record<string, string>> {
    const { stdout } = await this.launch('status', this.root);
    return Object.fromEntries(
      stdout
        .split('\n')
        .filter((line) => line.startsWith('sql '))
        .map((line) => /^sql (\S+) (.*)$/.exec(line)?.slice(1) ?? []),
    ) as Record<string, string>;
  }

  /** Waits until the status has these values; fails with the last one seen. */
  async until(wanted: Record<string, string | RegExp>, seconds = 60): Promise<Record<string, string>> {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      const seen = await this.status();
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
    await this.stop(0);
    rmSync(this.root, { recursive: true, force: true });
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
