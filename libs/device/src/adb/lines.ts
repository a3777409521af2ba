import { StringDecoder } from 'node:string_decoder';
import { setTimeout as sleep } from 'node:timers/promises';
import { toSovereignError } from '@sovereign/report';
import type { PhoneShell } from './shell.ts';

/**
 * Prints what is appended to a file, from byte `$2` on, and from its beginning again once it is shorter than before;
 * on standard error, up to which byte that was.
 * The wait for our standard input is what ends it when nobody listens any more.
 */
const FOLLOW = `
at=$2
while :; do
  size=$(stat -c %s "$1" 2>/dev/null) || size=0
  [ "$size" -ge "$at" ] || at=0
  if [ "$size" -gt "$at" ]; then
    tail -c +$((at + 1)) "$1" | head -c $((size - at))
    at=$size
    echo "$at" >&2
  fi
  [ "$3" = follow ] || exit 0
  read -r -t 1 end
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
  let offset = 0;
  let rest = '';
  while (!signal.aborted) {
    const decoder = new StringDecoder('utf8');
    try {
      const tail = await shell.start(FOLLOW, [path, String(offset), follow ? 'follow' : 'once']);
      const stop = (): void => tail.end();
      signal.addEventListener('abort', stop, { once: true });
      try {
        tail.stderr.on(
          'data',
          (said: Buffer) => (offset = Number(said.toString().trim().split('\n').at(-1))),
        );
        for await (const chunk of tail.stdout as AsyncIterable<Buffer>) {
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
