import { open } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as sleep } from 'node:timers/promises';

/** How often a followed file is looked at, in milliseconds. */
const INTERVAL = 200;

/**
 * Lines of a file that others append to. A file that was emptied or replaced meanwhile is read from its beginning; one
 * that does not exist yet has no lines. With `follow` it ends when the signal does.
 */
export async function* followLines(
  path: string,
  follow: boolean,
  signal: AbortSignal,
): AsyncIterable<string> {
  const buffer = Buffer.alloc(65_536);
  let offset = 0;
  let inode = 0;
  let rest = '';
  let decoder = new StringDecoder('utf8');
  while (!signal.aborted) {
    const file = await open(path, 'r').catch(() => undefined);
    if (file !== undefined) {
      try {
        const { size, ino } = await file.stat();
        if (ino !== inode || size < offset) {
          offset = 0;
          rest = '';
          decoder = new StringDecoder('utf8');
        }
        inode = ino;
        for (;;) {
          const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
          if (bytesRead === 0) break;
          offset += bytesRead;
          const lines = (rest + decoder.write(buffer.subarray(0, bytesRead))).split('\n');
          rest = lines.pop() ?? '';
          yield* lines.map((line) => line.replace(/\r$/, ''));
        }
      } finally {
        await file.close();
      }
    }
    if (!follow) break;
    await sleep(INTERVAL, undefined, { signal }).catch(() => undefined);
  }
  if (rest !== '') yield rest;
}
