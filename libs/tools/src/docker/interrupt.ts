import { SovereignError } from '@sovereign/report';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

let running = 0;
let received: NodeJS.Signals | undefined;
let controller = new AbortController();

/**
 * Runs work that has something to take back. A signal that would end this process aborts the work instead, and is
 * sent again once all such work is over: others who listen for it leave the ending to us while we do.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  if (running++ === 0) for (const name of signals) process.on(name, onSignal);
  try {
    return await work(controller.signal);
  } finally {
    if (--running === 0) finish();
  }
}

// The same signal may come more than once: to the process group, and from who started us.
function onSignal(name: NodeJS.Signals): void {
  received ??= name;
  controller.abort(
    new SovereignError({
      code: 'interrupted',
      what: 'interrupted',
      hint: 'Nothing is half done; run the command again to go on',
      exit: 130,
    }),
  );
}

function finish(): void {
  for (const name of signals) process.off(name, onSignal);
  if (received === undefined) return;
  const name = received;
  received = undefined;
  controller = new AbortController();
  process.kill(process.pid, name);
}
