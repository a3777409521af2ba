import { startProxy } from '../proxy/proxy.ts';
import { usual } from '../proxy/upstream.ts';

/** The proxy in a process of its own, so that its memory can be told; ends, with its uploads done, on a line of input. */
const [server = '', token = '', folder = ''] = process.argv.slice(2);
const warn = (line: string): void => console.error(line);
// What is large is read by the server once before it gives a byte of it, which takes a busy machine a while.
const limits = { ...usual, silence: 60_000 };
const proxy = await startProxy({ server: new URL(`${server}/`), token, folder, warn, limits });
process.stdout.write(`${JSON.stringify({ url: proxy.url, token: proxy.token })}\n`);
process.stdin.once('data', () => {
  void proxy.close(60_000).then(() => process.stdout.write('closed\n'));
});
// Its memory is looked at once it is done; then the input ends.
process.stdin.once('end', () => process.exit(0));
