import { StringDecoder } from 'node:string_decoder';
import { setTimeout as sleep } from 'node:timers/promises';
import { toSovereignError } from '@sovereign/report';
import type { PhoneShell } from './shell.ts';

/**
 * Prints what is appended to a file, from byte `$2` on. Where the file is shorter than before it says so on standard
 * error, and begins again with the next look, so that nothing of the new file overtakes that word.
 * The wait for our standard input is what ends it when nobody listens any more; mksh can wait for a second only.
 */
const FOLLOW = `
at=$2
while :; do
  size=$(stat -c %s "$1" 2>/dev/null) || size=0
  if [ "$size" -lt "$at" ]; then
    at=0
    echo again >&2
  elif [ "$size" -gt "$at" ]; then
    tail -c +$((at + 1)) "$1" | head -c $((size - at))
    at=$size
  fi
  [ "$3" = follow ] || exit 0
  # shellcheck disable=SC3045
  read -r -t 1 _
  [ $? -gt 1 ] || exit 0
done
`;

/** Between two tries to reach a phone that went away, in milliseconds. */
const RETRY = 2000;

/**
 * Lines of a file on a phone; with `follow` also those that come later, until the signal. A phone that went away is
 * waited for.
 */
export async function* phoneLines(
  shell: PhoneShell,
  path: string,
  follow: boolean,
  signal: AbortSignal,
): AsyncIterable<string> {
  /** Bytes that have come: where a lost connection goes on. */
  let offset = 0;
  let rest = '';
  while (!signal.aborted) {
    const decoder = new StringDecoder('utf8');
    try {
      const tail = await shell.start(FOLLOW, [path, String(offset), follow ? 'follow' : 'once']);
      const stop = (): void => tail.end();
      signal.addEventListener('abort', stop, { once: true });
      try {
        tail.stderr.on('data', (said: Buffer) => {
          if (said.includes('again')) offset = 0;
        });
        for await (const chunk of tail.stdout as AsyncIterable<Buffer>) {
          offset += chunk.length;
          const lines = (rest + decoder.write(chunk)).split('\n');
          rest = lines.pop() ?? '';
          yield* lines.map((line) => line.replace(/\r$/, ''));
        }
        await tail.status;
        break;
      } finally {
        signal.removeEventListener('abort', stop);
        tail.end();
      }
    } catch (thrown) {
      // The signal ends the connection, and the loop.
      if (!follow || toSovereignError(thrown).exit !== 4) throw thrown;
      await sleep(RETRY, undefined, { signal }).catch(() => undefined);
    }
  }
  if (rest !== '') yield rest;
}
