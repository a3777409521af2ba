import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SshTarget } from '../contract.ts';
import { execInGuest } from '../ssh.ts';

/** Bytes of a file that are looked at in one go. */
const PIECE = 4 * 1024 * 1024;
/** What most of a data disk is. */
const NOTHING = Buffer.alloc(PIECE);
/** Between two looks at the processes, in milliseconds: most programs that are started live longer. */
const LOOK = 25;
/** An argument of the program that looks in a guest: where it is not found, nothing would be. */
const CONTROL = 'planted-control';

/**
 * Looks in a guest for what is in the lines of its standard input, so that looking puts it nowhere: in arguments,
 * environments and messages of the kernel, which are one place, and in files. What the config disk brought is left out.
 */
const LOOK_IN_GUEST = `
umask 077
cat >/run/planted
{ cat /proc/cmdline /proc/[0-9]*/cmdline /proc/[0-9]*/environ; dmesg; } >/run/seen 2>/dev/null
grep -qF "$1" /run/seen && grep -qF root=/dev/vda /run/seen && echo "$1"
grep -lF -f /run/planted /run/seen
find /run /tmp /var /etc /dev/shm -xdev -type f ! -name planted ! -name seen \\
  ! -path '/run/sovereign/config/secrets/*' ! -path '/run/sovereign/config/databases/*' \\
  -exec grep -lF -f /run/planted {} +
rm /run/planted /run/seen`;

/** Values that may be in a few places alone, and the search for them in all others. */
export class Planted {
  readonly #values: readonly Buffer[];

  constructor(values: readonly string[]) {
    if (values.length === 0 || values.includes('')) throw new Error('there is nothing to look for');
    this.#values = values.map((value) => Buffer.from(value));
  }

  isIn(content: string | Uint8Array): boolean {
    const bytes = Buffer.from(content);
    return this.#values.some((value) => bytes.includes(value));
  }

  /** Files below a folder that hold one, by their paths there. What is gone in between holds none. */
  files(folder: string, skip: (path: string) => boolean = () => false): string[] {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(join(folder).length + 1))
      .filter((path) => !skip(path) && this.#isInFile(join(folder, path)))
      .toSorted();
  }

  #isInFile(path: string): boolean {
    const overlap = Math.max(...this.#values.map(({ length }) => length));
    const piece = Buffer.alloc(PIECE + overlap);
    let file: number;
    try {
      file = openSync(path, 'r');
    } catch {
      return false;
    }
    try {
      for (let at = 0; ; at += PIECE) {
        const count = readSync(file, piece, 0, piece.length, at);
        const isEmpty = count > PIECE && piece.subarray(0, PIECE).equals(NOTHING);
        if (!isEmpty && this.isIn(piece.subarray(0, count))) return true;
        if (count < piece.length) return false;
      }
    } finally {
      closeSync(file);
    }
  }

  /** Processes whose arguments or environment hold one, as files of that `/proc`. */
  processes(proc = '/proc'): string[] {
    return readdirSync(proc)
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => ['cmdline', 'environ'].map((file) => join(proc, name, file)))
      .filter((path) => {
        try {
          return this.isIn(readFileSync(path));
        } catch {
          // It has ended, or is another user's.
          return false;
        }
      });
  }

  /** What {@link processes} finds at some time while this is done. */
  async processesDuring(work: () => Promise<unknown>): Promise<string[]> {
    const found = new Set<string>();
    const over = new AbortController();
    const looking = (async () => {
      while (!over.signal.aborted) {
        for (const path of this.processes()) found.add(path);
        await sleep(LOOK);
      }
    })();
    try {
      await work();
    } finally {
      over.abort();
      await looking;
    }
    return [...found];
  }

  /** Places in a guest that hold one, beside the files that the config disk brought. */
  async inGuest(guest: SshTarget): Promise<string[]> {
    const { stdout, stderr } = await execInGuest(guest, ['sh', '-c', LOOK_IN_GUEST, 'sh', CONTROL], {
      input: this.#values.map((value) => `${value.toString()}\n`).join(''),
    });
    const [control, ...found] = stdout.trim().split('\n');
    if (control !== CONTROL) throw new Error(`the search in the guest finds nothing: ${stdout}${stderr}`);
    return found;
  }
}
