import { StringDecoder } from 'node:string_decoder';
import { setTimeout as sleep } from 'node:timers/promises';
import { toSovereignError } from '@sovereign/report';
import type { PhoneShell } from './shell.ts';

/** Status by which the script says that the file is shorter than before. */
const SHORTER = 9;

/**
 * Prints what is appended to a file, from byte `$2` on. A file that is shorter than before ends it: a word of it beside
 * what it prints could come before or behind the bytes of another time.
 * The wait for our standard input is what ends it when nobody listens any more; mksh can wait for a second only.
 */
const FOLLOW = `
at=$2
while :; do
  size=$(stat -c %s "$1" 2>/dev/null) || size=0
  [ "$size" -ge "$at" ] || exit ${SHORTER}
  if [ "$size" -gt "$at" ]; then
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
        tail.stderr.resume();
        for await (const chunk of tail.stdout as AsyncIterable<Buffer>) {
          offset += chunk.length;
          const lines = (rest + decoder.write(chunk)).split('\n');
          rest = lines.pop() ?? '';
          yield* lines.map((line) => line.replace(/\r$/, ''));
        }
        if ((await tail.status) !== SHORTER) break;
        offset = 0;
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
