import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request as requestTls } from 'node:https';
import { request as requestPlain } from './node-http.ts';
import type { Spool } from './spool.ts';

export interface Ask {
  url: URL;
  method: 'GET' | 'PUT' | 'HEAD';
  headers: Readonly<Record<string, string>>;
  /** Sent as it comes; its length stands in `headers`. */
  body?: Spool;
  /** Over this time without a byte in either direction the server counts as gone, in milliseconds. */
  silence: number;
  /** Ends the exchange, the body of the answer with it. */
  signal: AbortSignal;
}

/** How long a server is given to say whether it wants a body, in milliseconds. */
const PAUSE = 1_000;

export interface Got {
  status: number;
  headers: IncomingHttpHeaders;
  /** Fails where it is cut. To be read to its end or destroyed. */
  body: IncomingMessage;
}

/**
 * One exchange over a connection of its own: one that was kept open may have been closed by the server meanwhile, and
 * that would look like a fault. No redirect is followed.
 */
export function ask({ url, method, headers, body, silence, signal }: Ask): Promise<Got> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestTls : requestPlain;
    const expect = body === undefined ? {} : { expect: '100-continue' };
    const sent = send(url, {
      method,
      headers: { ...headers, ...expect },
      agent: false,
      signal,
      timeout: silence,
    });
    sent.once('socket', (socket) => {
      const state = () => `${socket.connecting} ${socket.bytesRead} ${socket.bytesWritten}`;
      // Where this process itself stood still, what came meanwhile is read only after this.
      socket.on('timeout', () => {
        const before = state();
        setImmediate(() => {
          if (state() === before) sent.destroy(new Error(`no answer within ${silence / 1000} s`));
        });
      });
    });
    sent.on('error', reject);
    let answered = false;
    sent.on('response', (answer) => {
      answered = true;
      // The error of a cut body comes here as well as to its reader, who may be gone.
      answer.on('error', () => undefined);
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: answer });
    });
    if (body === undefined) {
      sent.end();
      return;
    }
    // Who refuses does so before the body; one that does not know the question gets the body all the same.
    const begin = () => {
      clearTimeout(timer);
      // Once: it may say so after it was waited for.
      sent.off('continue', begin);
      // An answer before the end of what is sent is the whole answer; how sending ended does not matter then.
      if (!sent.destroyed && !answered)
        body.sendTo(sent).catch((error: unknown) => sent.destroy(error as Error));
    };
    const timer = setTimeout(begin, PAUSE);
    sent.once('continue', begin).once('close', () => clearTimeout(timer));
    sent.flushHeaders();
  });
}

/** The end of a body that nobody reads. */
export function discard({ body }: Got): void {
  body.destroy();
}

/** At most so much of an answer is read as text. */
const LONGEST_TEXT = 2_000;

/** What an error's answer says, cut where it is long. */
export async function shortText({ body }: Got): Promise<string> {
  let text = '';
  for await (const chunk of body as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.length > LONGEST_TEXT) break;
  }
  return text.slice(0, LONGEST_TEXT);
}
