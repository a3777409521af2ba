import type { Spool } from '../spool.ts';
import { Fault } from './upstream.ts';

export interface UploadOptions {
  send: (key: string, spool: Spool) => Promise<'stored' | 'exists' | 'refused'>;
  failed: (fault: Fault) => void;
}

export interface Uploads {
  /** Whether anything is still worth being kept to be sent. */
  readonly wanted: boolean;
  /** Takes an artifact over, and closes it. */
  add(key: string, spool: Spool): void;
  /** Waits until all is sent, so many milliseconds at most; drops the rest and gives its number. */
  finish(wait: number): Promise<number>;
}

/** Sent at the same time. */
const LANES = 2;

/** Kept to be sent at the same time, in bytes: a slow network must not fill the disk. */
const KEPT = 4 * 2 ** 30;

/** Sends artifacts behind the back of the build. The first lasting fault, or a token that may only read, ends it. */
export function toUploads({ send, failed }: UploadOptions): Uploads {
  const queue: { key: string; spool: Spool }[] = [];
  let active = 0;
  let kept = 0;
  let wanted = true;
  let idle: () => void = () => undefined;

  const close = async (spool: Spool) => {
    kept -= spool.size;
    await spool.close();
  };
  const stop = async () => {
    wanted = false;
    await Promise.all(queue.splice(0).map(({ spool }) => close(spool)));
  };
  const work = async () => {
    active++;
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      try {
        if ((await send(next.key, next.spool)) === 'refused') await stop();
      } catch (error) {
        const fault = error instanceof Fault ? error : new Fault((error as Error).message, true);
        if (wanted) failed(fault);
        if (fault.lasting) await stop();
      }
      await close(next.spool);
    }
    active--;
    if (active === 0) idle();
  };

  return {
    get wanted() {
      return wanted && kept < KEPT;
    },
    add(key, spool) {
      kept += spool.size;
      queue.push({ key, spool });
      if (active < LANES) void work();
    },
    async finish(wait) {
      if (active > 0 && wait > 0) {
        let timer: NodeJS.Timeout | undefined;
        const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, wait)));
        await Promise.race([new Promise<void>((resolve) => (idle = resolve)), late]);
        clearTimeout(timer);
      }
      const left = queue.length + active;
      await stop();
      return left;
    },
  };
}
