import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip, gzipSync } from 'node:zlib';
import { SovereignError } from '@sovereign/report';
import { sha256File } from '@sovereign/store';
import { adbStalled } from './errors.ts';
import { Patience } from './patience.ts';
import type { PhoneProcess, PhoneShell } from './shell.ts';

/**
 * Appends to `$1.part`, on the file system where the file is to be, and gives it its name once it has the digest `$2`
 * and so many bytes as `$3` says.
 * Says how many bytes are there already, and reads in one line how the rest comes.
 */
const PUT = `
part=$1.part
mkdir -p "\${1%/*}" || exit 1
[ -f "$part" ] || : >"$part" || exit 1
stat -c %s "$part" || exit 1
read -r how || exit 1
case $how in fresh*) : >"$part" || exit 1 ;; esac
case $how in
  *gzip) gunzip -c >>"$part" || exit 1 ;;
  *raw) cat >>"$part" || exit 1 ;;
  *) exit 1 ;;
esac
# A connection that is cut looks like the end of the input: what came is kept, to go on from there.
[ "$(stat -c %s "$part")" = "$3" ] || exit 66
# shellcheck disable=SC2046
set -- "$1" "$2" $(sha256sum <"$part")
if [ "$2" != "$3" ]; then
  rm -f "$part"
  exit 65
fi
fsync "$part" 2>/dev/null || sync
mv -f "$part" "$1"
`;
const WRONG_DIGEST = 65;
const WRONG_SIZE = 66;

/** Part of the file's size below which its compressed form has to be for compression to pay. */
const PAYS = 0.85;
/** Bytes that are compressed to see whether it pays. */
const SAMPLE = 262_144;

/** How long nothing may happen, in milliseconds. */
export interface UploadLimits {
  /** Without a byte that the phone takes. */
  byte: number;
  /** After the last byte: the phone computes a digest and writes all to its storage. */
  end: number;
}

const LIMITS: UploadLimits = { byte: 60_000, end: 600_000 };

export interface Upload {
  local: string;
  /** Absolute, on the phone. */
  path: string;
  sha256: string;
  /** Called with the bytes of the file that were passed on since the last call, also those that were there already. */
  onBytes: (count: number) => void;
}

/**
 * Sends a file, going on where an earlier try ended; what arrived wrong is sent once more from the beginning.
 * @returns the bytes of the file that were sent
 * @throws SovereignError `wrong-digest`, `damaged-transfer`, `no-space`, `not-written`, `adb-lost`, `adb-stalled`
 */
export async function upload(
  shell: PhoneShell,
  serial: string,
  file: Upload,
  limits: UploadLimits = LIMITS,
): Promise<number> {
  const sent = await send(shell, serial, file, { fresh: false, limits });
  if (sent !== undefined) return sent;
  if ((await sha256File(file.local)) !== file.sha256) {
    throw new SovereignError({
      code: 'wrong-digest',
      what: 'the file is not the one that was built',
      on: file.local,
      hint: 'Build it again',
    });
  }
  const again = await send(shell, serial, { ...file, onBytes: () => undefined }, { fresh: true, limits });
  if (again !== undefined) return again;
  throw new SovereignError({
    code: 'damaged-transfer',
    what: 'the file arrived damaged twice',
    on: `${serial}: ${file.path}`,
    hint: 'Try another cable or USB port; if that does not help, the storage of the phone may be failing',
  });
}

interface SendOptions {
  /** What is there already is not gone on with. */
  fresh: boolean;
  limits: UploadLimits;
}

/** The bytes that were sent; undefined where what the phone has now is not the file. */
async function send(
  shell: PhoneShell,
  serial: string,
  file: Upload,
  { fresh, limits }: SendOptions,
): Promise<number | undefined> {
  const { size } = await stat(file.local);
  const patience = new Patience(limits.byte);
  let allSent = false;
  const stalled = patience.over.then(() => {
    throw adbStalled(
      serial,
      allSent
        ? `the phone has had the whole file for ${limits.end / 1000} s, and does not say that it keeps it`
        : `the phone has taken nothing of the file for ${limits.byte / 1000} s`,
    );
  });
  stalled.catch(() => undefined);
  const started = shell.start(PUT, [file.path, file.sha256, String(size)]);
  try {
    const process = await Promise.race([started, stalled]);
    return await Promise.race([transfer(process), stalled]);
  } finally {
    patience.end();
    started.then(
      (process) => process.end(),
      () => undefined,
    );
  }

  async function transfer(process: PhoneProcess): Promise<number | undefined> {
    let said = '';
    process.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
    const first = await lines.next();
    const there = first.done === true ? NaN : Number(first.value);
    let sent: Promise<void> = Promise.resolve();
    let left = 0;
    if (Number.isInteger(there)) {
      const start = fresh || there > size ? 0 : there;
      left = size - start;
      file.onBytes(start);
      const compressed = await pays(file.local, start, size);
      process.stdin.write(`${start === there ? '' : 'fresh '}${compressed ? 'gzip' : 'raw'}\n`);
      const source = createReadStream(file.local, { start, highWaterMark: 262_144 });
      const counted = new Transform({
        transform(chunk: Buffer, _encoding, pass) {
          patience.renew(limits.byte);
          file.onBytes(chunk.length);
          pass(null, chunk);
        },
      });
      sent = compressed
        ? pipeline(source, counted, createGzip({ level: constants.Z_BEST_SPEED }), process.stdin)
        : pipeline(source, counted, process.stdin);
      // A script that gave up says why by its status.
      sent.then(
        () => {
          allSent = true;
          patience.renew(limits.end);
        },
        () => undefined,
      );
    }
    const status = await process.status;
    if (status === WRONG_DIGEST || status === WRONG_SIZE) return undefined;
    if (status !== 0) throw notWritten(serial, file.path, said);
    await sent;
    return left;
  }
}

/** Whether a sample from the middle of what is left says that it gets notably smaller. */
async function pays(local: string, start: number, size: number): Promise<boolean> {
  const length = Math.min(SAMPLE, size - start);
  if (length < 4096) return false;
  const file = await open(local, 'r');
  try {
    const sample = Buffer.alloc(length);
    await file.read(sample, 0, length, start + Math.floor((size - start - length) / 2));
    return gzipSync(sample, { level: constants.Z_BEST_SPEED }).length < length * PAYS;
  } finally {
    await file.close();
  }
}

/** The error for something that could not be written on a phone. */
export function notWritten(serial: string, path: string, said: string): SovereignError {
  const full = /no space left|ENOSPC|quota/i.test(said);
  return new SovereignError({
    code: full ? 'no-space' : 'not-written',
    what: full ? 'the phone is full' : `the phone could not write it: ${said.trim()}`,
    on: `${serial}: ${path}`,
    hint: full
      ? 'Free some space on it and run the command again: it goes on where this one ended'
      : 'Look at the folder on the phone, and run the command again',
  });
}
