import type { Display } from './display.ts';
import { liveDisplay } from './live.ts';
import { plainDisplay } from './plain.ts';

/** A terminal gets moving lines, everything else plain ones; --verbose too, since raw output runs between them. */
export function openDisplay(
  stream: NodeJS.WriteStream,
  flags: { quiet: boolean; verbose: boolean },
): Display {
  if (flags.quiet) return quietDisplay(stream);
  return stream.isTTY && !flags.verbose && process.env.TERM !== 'dumb'
    ? liveDisplay(stream)
    : plainDisplay(stream);
}

/** Choices that were made for the user and warnings are no progress: they are said even then. */
function quietDisplay(stream: NodeJS.WritableStream): Display {
  const plain = plainDisplay(stream);
  return { show: (event) => event.detail === 'note' && plain.show(event), close: () => undefined };
}
