import { setTimeout as delay } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { PhoneShell } from './shell.ts';

export interface PhoneScript {
  /** Standard input of the script; nothing where it is missing. */
  input?: Readable | Uint8Array | undefined;
  /** Milliseconds after which the script is given up: status 124, as timeout(1) says it. */
  timeout?: number | undefined;
}

export interface PhoneResult {
  status: number;
  stdout: Buffer;
  stderr: string;
}

const tooLate: PhoneResult = { status: 124, stdout: Buffer.alloc(0), stderr: 'no answer in time' };

/**
 * Runs a script on a phone to its end.
 * @throws SovereignError `adb-lost`, or what the phone's state asks for
 */
export async function runScript(
  shell: PhoneShell,
  script: string,
  args: readonly string[],
  { input, timeout }: PhoneScript = {},
): Promise<PhoneResult> {
  const timer = new AbortController();
  const late =
    timeout === undefined
      ? new Promise<never>(() => undefined)
      : delay(timeout, 'late' as const, { signal: timer.signal }).catch(() => 'late' as const);
  const started = shell.start(script, args);
  // An adb that hangs may not even take the script.
  const process = await Promise.race([started, late]);
  if (process === 'late') {
    started.then(
      (one) => one.end(),
      () => undefined,
    );
    return tooLate;
  }
  const output = Promise.all([collect(process.stdout), collect(process.stderr)]);
  // A script that ends before it has read its input says why by its status.
  const sent =
    input === undefined || input instanceof Uint8Array
      ? Promise.resolve(void process.stdin.end(input))
      : pipeline(input, process.stdin);
  try {
    const status = await Promise.race([process.status, late]);
    if (status === 'late') return tooLate;
    const [stdout, stderr] = await output;
    if (status === 0) await sent;
    return { status, stdout, stderr: stderr.toString() };
  } finally {
    timer.abort();
    sent.catch(() => undefined);
    process.end();
  }
}

async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
