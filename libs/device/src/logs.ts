import type { LogOptions } from './contract.ts';
import type { Host } from './host.ts';

/** Files below a service's `log/`, in the order in which they are shown. */
const bootFiles = ['early.log', 'console.log.1', 'console.log'];
const serviceFiles = ['launcher.log.1', 'launcher.log', 'vmm.log', 'console.log'];

/**
 * The console from power-on, or the launcher's and the guest's log. With `follow`, what is appended later comes as it
 * is written.
 */
export async function* serviceLogs(
  host: Host,
  service: string,
  { boot, follow, signal }: LogOptions,
): AsyncIterable<string> {
  const files = (boot ? bootFiles : serviceFiles).map((name) => `services/${service}/log/${name}`);
  if (!follow) {
    for (const file of files) yield* host.lines(file, false, signal);
    return;
  }
  const sources = files.map((file) => host.lines(file, true, signal)[Symbol.asyncIterator]());
  yield* merge(sources);
}

/** Lines of several endless sources, as they come. */
async function* merge(sources: readonly AsyncIterator<string>[]): AsyncIterable<string> {
  const next = new Map(sources.map((source) => [source, source.next()]));
  while (next.size > 0) {
    const [source, result] = await Promise.race(
      [...next].map(async ([from, pending]) => [from, await pending] as const),
    );
    if (result.done === true) next.delete(source);
    else {
      next.set(source, source.next());
      yield result.value;
    }
  }
}
