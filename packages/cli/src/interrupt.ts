import { SovereignError } from '@sovereign/report';

/**
 * Turns Ctrl-C and SIGTERM into an abort signal; a second Ctrl-C ends the process at once. `ignore` leaves Ctrl-C to
 * the program that has the terminal; whoever ends this process otherwise means that program too.
 */
export function interruptible(): { signal: AbortSignal; ignore(): void; dispose(): void } {
  const controller = new AbortController();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  let ignored = false;
  const abort = (name: NodeJS.Signals) => {
    if (ignored && name === 'SIGINT') return;
    if (controller.signal.aborted) process.exit(130);
    controller.abort(interrupted());
  };
  for (const name of signals) process.on(name, abort);
  return {
    signal: controller.signal,
    ignore: () => {
      ignored = true;
    },
    dispose: () => {
      for (const name of signals) process.off(name, abort);
    },
  };
}

/** Why everything ends after Ctrl-C. */
const interrupted = (): SovereignError =>
  new SovereignError({
    code: 'interrupted',
    what: 'interrupted',
    hint: 'Nothing is half done; run the command again to go on',
    exit: 130,
  });
