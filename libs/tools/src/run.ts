import { SovereignError } from '@sovereign/report';

export interface Bind {
  /** Absolute path on this machine. */
  source: string;
  /** One of the tool root's mount points. */
  target: string;
  write?: boolean;
}

export interface RunOptions {
  binds?: readonly Bind[];
  env?: Readonly<Record<string, string>>;
  /** Path inside. */
  cwd?: string;
  /** Called for every line that the program prints. */
  onLine?: (line: string) => void;
  /** `inherit` gives the program this process's terminal. */
  stdio?: 'pipe' | 'inherit';
  signal?: AbortSignal;
}

/** The environment of every program inside: nothing of the user's own reaches a build. */
export const fixedEnvironment = {
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/tmp',
  LC_ALL: 'C',
  TZ: 'UTC',
  SOURCE_DATE_EPOCH: '0',
};

/** Lines that a failed program printed last and that its error repeats. */
const LAST_LINES = 15;

/** Passes lines on and keeps the last of them for an error. */
export class LastLines {
  readonly #lines: string[] = [];
  readonly #onLine: ((line: string) => void) | undefined;

  constructor(onLine?: (line: string) => void) {
    this.#onLine = onLine;
  }

  add(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > LAST_LINES) this.#lines.shift();
    this.#onLine?.(line);
  }

  /** What to say of a program that failed. */
  failure(argv: readonly string[], end: { status?: number | undefined; signal?: string | undefined }) {
    const { status, signal } = end;
    // 137 is what a shell says of SIGKILL, which a system sends where memory runs out.
    const killed = signal === 'SIGKILL' || status === 137;
    const full = this.#lines.findLast((line) => /No space left on device|Disk quota exceeded/i.test(line));
    if (full !== undefined) {
      return new SovereignError({
        code: 'no-space',
        what: `${argv[0] ?? ''} found no space left`,
        on: full.trim(),
        hint: 'Free some space and run the command again',
      });
    }
    const said = this.#lines.map((line) => `    ${line}`).join('\n');
    return new SovereignError({
      code: 'tool-failed',
      what: killed
        ? `${argv[0] ?? ''} was killed, most often because memory ran out`
        : `${argv[0] ?? ''} ended with ${signal ?? `status ${status ?? '?'}`}`,
      on: argv.slice(0, 6).join(' '),
      hint: said === '' ? undefined : `It printed:\n${said}`,
    });
  }
}
