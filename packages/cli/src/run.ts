import { findServices } from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';
import { deviceAccess, meansPhone } from './device.ts';
import { openDisplay } from './display/index.ts';
import { printError } from './errors.ts';
import { eventFile } from './event-file.ts';
import { interruptible } from './interrupt.ts';
import { parse } from './program.ts';
import type { Streams } from './session.ts';
import { provide } from './system.ts';
import { onPhone } from './table.ts';

/** Runs one command line and gives its exit status. */
export async function run(argv: readonly string[], version: string, streams: Streams): Promise<number> {
  const before = argv.slice(0, argv.includes('--') ? argv.indexOf('--') : argv.length);
  // Read here too, so that a command line that cannot be parsed is still answered in the form that was asked for.
  const style = { json: before.includes('--json'), verbose: before.includes('--verbose') };
  const interrupt = interruptible();
  try {
    const root = workspaceRoot();
    const services = await findServices(root);
    const request = parse(argv, services, version);
    if (request.kind === 'text') {
      streams.out.write(request.text);
      return 0;
    }
    const { entry, flags, own, chosen, named, words } = request;
    // Ctrl-C in a shell or a database client is for that, not for us.
    if (entry.interactive === true) interrupt.ignore();
    const { signal } = interrupt;
    const events = eventFile();
    const display = openDisplay(streams.err, flags);
    const follow = events.follow((event) => display.show(event));
    let result;
    try {
      const needs = meansPhone(flags.serial) ? onPhone(entry) : entry.needs;
      await provide(needs, { install: flags.install, signal });
      const command = await entry.load();
      const devices = deviceAccess(root, flags.serial, chosen);
      result = await command({
        devices,
        root,
        flags,
        streams,
        services,
        chosen,
        named,
        words,
        own,
        signal,
      });
      signal.throwIfAborted();
    } finally {
      follow.stop();
      display.close();
      events.remove();
    }
    if (flags.json) streams.out.write(`${JSON.stringify(result.json, null, 2)}\n`);
    else if (result.text !== undefined && result.text !== '') streams.out.write(`${result.text}\n`);
    return result.exit ?? 0;
  } catch (thrown) {
    return printError(interrupt.signal.aborted ? interrupt.signal.reason : thrown, streams, style);
  } finally {
    interrupt.dispose();
  }
}
