/** Exit statuses of `sovereign`, as documented in docs/interface.md. */
export type Exit = 1 | 2 | 3 | 4 | 130;

/** What an error looks like in an event and in `--json` output. */
export interface ErrorReport {
  code: string;
  what: string;
  on?: string;
  hint?: string;
}

interface Details {
  /** Stable, kebab-case name that scripts may match. */
  code: string;
  /** What failed, one sentence without a full stop. */
  what: string;
  /** The file, package, service or device it failed on. */
  on?: string | undefined;
  /** What to do next. */
  hint?: string | undefined;
  exit?: Exit;
  cause?: unknown;
}

/** The one way to fail: what happened, on what, and what to do next. */
export class SovereignError extends Error {
  readonly code: string;
  readonly what: string;
  readonly on: string | undefined;
  readonly hint: string | undefined;
  readonly exit: Exit;

  constructor({ code, what, on, hint, exit = 1, cause }: Details) {
    const place = on === undefined ? '' : ` (${on})`;
    const advice = hint === undefined ? '' : `. ${hint}`;
    super(`${what}${place}${advice}`, cause === undefined ? undefined : { cause });
    this.name = 'SovereignError';
    this.code = code;
    this.what = what;
    this.on = on;
    this.hint = hint;
    this.exit = exit;
  }

  report(): ErrorReport {
    return {
      code: this.code,
      what: this.what,
      ...(this.on === undefined ? {} : { on: this.on }),
      ...(this.hint === undefined ? {} : { hint: this.hint }),
    };
  }
}

const fileErrors: Record<string, { code: string; what: string; hint: string }> = {
  ENOSPC: { code: 'no-space', what: 'no space left', hint: 'Free some space and run the command again' },
  EDQUOT: {
    code: 'no-space',
    what: 'disk quota exceeded',
    hint: 'Free some space and run the command again',
  },
  EACCES: { code: 'no-permission', what: 'permission denied', hint: 'Check the owner and mode of this path' },
  EROFS: { code: 'no-permission', what: 'the file system is read-only', hint: 'Choose another place' },
};

/** Gives any thrown value the shape of a {@link SovereignError}; system errors get a hint of their own. */
export function toSovereignError(thrown: unknown): SovereignError {
  if (thrown instanceof SovereignError) return thrown;
  if (thrown instanceof Error) {
    const { code, path } = thrown as NodeJS.ErrnoException;
    const known = code === undefined ? undefined : fileErrors[code];
    if (known !== undefined) return new SovereignError({ ...known, on: path, cause: thrown });
    return new SovereignError({ code: 'unexpected', what: thrown.message, cause: thrown });
  }
  return new SovereignError({ code: 'unexpected', what: String(thrown) });
}
