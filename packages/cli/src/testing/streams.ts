import { PassThrough } from 'node:stream';
import type { Streams } from '../session.ts';

/** Streams that remember what was written; `tty` makes them claim to be a terminal. */
export function fakeStreams({ tty = false } = {}): {
  streams: Streams;
  out: () => string;
  err: () => string;
} {
  const make = () => {
    const chunks: string[] = [];
    const stream = new PassThrough();
    stream.on('data', (chunk: Buffer) => chunks.push(chunk.toString()));
    return {
      stream: Object.assign(stream, { isTTY: tty, columns: 100, rows: 30 }),
      text: () => chunks.join(''),
    };
  };
  const [input, out, err] = [make(), make(), make()];
  const streams = { in: input.stream, out: out.stream, err: err.stream } as unknown as Streams;
  return { streams, out: out.text, err: err.text };
}
