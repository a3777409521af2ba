import { spawn } from 'node:child_process';
import { pipeline, type Readable } from 'node:stream';
import { SovereignError } from '@sovereign/report';
import type { SshTarget } from './contract.ts';

export interface ExecOptions {
  /** A terminal of the guest's; everything is inherited then. */
  tty?: boolean;
  /** `inherit` passes our standard input on. Default: nothing. */
  stdin?: 'inherit' | 'ignore';
  /** Standard input of the command, instead. A stream that fails is an end for the command. */
  input?: string | Uint8Array | Readable;
  /** Where output goes: collected for the caller, or straight to ours. Default: collected. */
  output?: 'collect' | 'inherit';
  signal?: AbortSignal;
}

export interface ExecResult {
  /** Of the command in the guest. */
  status: number;
  stdout: string;
  stderr: string;
}

/** Seconds until a connection that does not come counts as failed. */
const CONNECT_TIMEOUT = 20;
/** SSH's own failures and a command that says 255 look alike; the command's own 255 is followed by this on stderr. */
const TRAILER = 'sovereign-exec-status 255\n';

/** The ssh client's arguments for one command. Nothing of the user's own configuration is read. Pure. */
export function sshArgs(target: SshTarget, remote: string | undefined, tty: boolean): string[] {
  return [
    ...['-F', '/dev/null'],
    ...['-p', String(target.port)],
    ...['-i', target.identityFile],
    ...['-o', 'IdentitiesOnly=yes'],
    ...['-o', 'IdentityAgent=none'],
    ...['-o', 'BatchMode=yes'],
    ...['-o', 'StrictHostKeyChecking=yes'],
    // The value is a list of files, so a path with blanks is quoted.
    ...['-o', `UserKnownHostsFile="${target.knownHostsFile}"`],
    ...['-o', 'GlobalKnownHostsFile=/dev/null'],
    ...['-o', `ConnectTimeout=${CONNECT_TIMEOUT}`],
    ...['-o', 'LogLevel=ERROR'],
    tty ? '-t' : '-T',
    `${target.user}@${target.host}`,
    ...(remote === undefined ? [] : [remote]),
  ];
}

/** One POSIX sh command line that runs exactly these arguments and tells 255 from a lost connection. Pure. */
export function remoteCommand(argv: readonly string[]): string {
  const command = argv.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  return `${command}; s=$?; [ $s != 255 ] || printf '${TRAILER.trim()}\\n' >&2; exit $s`;
}

/**
 * Runs a command in the guest over SSH.
 * @param argv the command and its arguments; empty: a login shell
 * @throws SovereignError `guest-unreachable` where SSH itself failed
 */
export function execInGuest(
  target: SshTarget,
  argv: readonly string[],
  { tty = false, stdin = 'ignore', input, output = 'collect', signal }: ExecOptions = {},
): Promise<ExecResult> {
  const child = spawn('ssh', sshArgs(target, argv.length === 0 ? undefined : remoteCommand(argv), tty), {
    stdio: tty
      ? 'inherit'
      : [input === undefined ? stdin : 'pipe', output === 'inherit' ? 'inherit' : 'pipe', 'pipe'],
    ...(signal === undefined ? {} : { signal }),
  });
  // A command that ends without reading all of its input is no error of ours.
  child.stdin?.on('error', () => undefined);
  if (child.stdin !== null && isStream(input)) pipeline(input, child.stdin, () => undefined);
  else child.stdin?.end(input);
  const stdout: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  const trailer = new TrailerFilter(
    output === 'inherit' ? (chunk) => void process.stderr.write(chunk) : undefined,
  );
  child.stderr?.on('data', (chunk: Buffer) => trailer.add(chunk));
  return new Promise((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => reject(noClient(cause)));
    child.once('close', (code, killedBy) => {
      const { text, found } = trailer.end();
      if (code === 255 && !found && !tty) reject(unreachable(target, text));
      else if (code === null) reject(unreachable(target, `ssh was ended by ${killedBy ?? 'a signal'}`));
      // On a terminal there is no trailer to look for: 255 is taken for a lost connection.
      else
        resolve({
          status: code === 255 && tty ? 1 : code,
          stdout: Buffer.concat(stdout).toString(),
          stderr: text,
        });
    });
  });
}

const isStream = (input: ExecOptions['input']): input is Readable =>
  typeof input === 'object' && !(input instanceof Uint8Array);

/** Passes standard error on, except for a trailer at its very end. */
class TrailerFilter {
  #kept = '';
  #all = '';
  readonly #pass: ((chunk: string) => void) | undefined;

  constructor(pass: ((chunk: string) => void) | undefined) {
    this.#pass = pass;
  }

  add(chunk: Buffer): void {
    const text = this.#kept + chunk.toString();
    // Whatever may still turn out to be the trailer is held back.
    let held = Math.min(TRAILER.length, text.length);
    while (held > 0 && !TRAILER.startsWith(text.slice(text.length - held))) held--;
    this.#kept = text.slice(text.length - held);
    this.#emit(text.slice(0, text.length - held));
  }

  end(): { text: string; found: boolean } {
    const found = this.#kept === TRAILER;
    if (!found) this.#emit(this.#kept);
    return { text: this.#all, found };
  }

  #emit(text: string): void {
    if (text === '') return;
    if (this.#pass === undefined) this.#all += text;
    else this.#pass(text);
  }
}

const unreachable = (target: SshTarget, text: string): SovereignError =>
  new SovereignError({
    code: 'guest-unreachable',
    what: `the guest cannot be reached over SSH${text.trim() === '' ? '' : `: ${text.trim()}`}`,
    on: `${target.host}:${target.port}`,
    hint: 'Look at its state with `sovereign status` and at its console with `sovereign logs --boot`',
  });

const noClient = (cause: NodeJS.ErrnoException): SovereignError =>
  cause.code === 'ENOENT'
    ? new SovereignError({
        code: 'no-ssh-client',
        what: 'no ssh client is installed',
        on: 'this machine',
        hint: 'Install one (Debian: apt-get install openssh-client)',
        cause,
      })
    : new SovereignError({ code: 'ssh-failed', what: `ssh cannot be run: ${cause.message}`, cause });
