import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { SovereignError } from '@sovereign/report';
import type Docker from 'dockerode';

/** @throws SovereignError `no-terminal`, before anything is made for a program that needs one */
export function needTerminal(what: string): void {
  if (process.stdin.isTTY && process.stdout.isTTY) return;
  throw new SovereignError({
    code: 'no-terminal',
    what: `${what} needs a terminal, and standard input or output is none`,
    hint: 'Run it in a terminal, without a pipe',
  });
}

/** Joins a container's terminal with this process's, until the program in it ends. */
export async function useTerminal(container: Docker.Container, stream: Duplex): Promise<void> {
  const { stdin, stdout } = process;
  const resize = () => {
    container.resize({ h: stdout.rows, w: stdout.columns }).catch(() => undefined);
  };
  stdin.setRawMode(true);
  stdin.pipe(stream);
  stream.pipe(stdout, { end: false });
  // Only a program that runs has a terminal that can get a size.
  stream.once('data', resize);
  stdout.on('resize', resize);
  try {
    await finished(stream, { writable: false });
  } finally {
    stdout.off('resize', resize);
    stdin.unpipe(stream);
    stdin.pause();
    stdin.setRawMode(false);
  }
}
