import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { S3Options } from '../server/s3.ts';
import { versitygwProgram } from './versitygw.ts';

export interface S3Server {
  options: S3Options;
  /** Where the objects are as files. */
  bucket: string;
  end(): Promise<void>;
}

/** Longest wait for it to answer, in milliseconds. */
const START = 60_000;

/** A real S3 server over a folder, with one bucket. */
export async function startS3(home: string): Promise<S3Server> {
  const bucket = join(home, 's3/cache');
  mkdirSync(bucket, { recursive: true });
  const options: S3Options = {
    endpoint: '',
    bucket: 'cache',
    region: 'us-east-1',
    accessKeyId: 'test',
    secretAccessKey: 'secret-for-tests',
    sessionToken: undefined,
  };
  const args = ['--port', '127.0.0.1:0', '--quiet', 'posix', join(home, 's3')];
  const child = spawn(await versitygwProgram(), args, {
    env: { ROOT_ACCESS_KEY: options.accessKeyId, ROOT_SECRET_KEY: options.secretAccessKey, HOME: home },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const late = performance.now() + START;
  for (;;) {
    const port = portOf(child.pid ?? 0);
    if (port !== undefined) {
      options.endpoint = `http://127.0.0.1:${port}`;
      if (await fetch(options.endpoint).then(discardBody, () => false)) break;
    }
    if (child.exitCode !== null || performance.now() > late) throw new Error('versitygw does not start');
    await sleep(50);
  }
  return {
    options,
    bucket,
    end: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function discardBody(response: Response): Promise<boolean> {
  await response.body?.cancel();
  return true;
}

/** versitygw does not tell which port it got: where this process listens, from what the kernel says (proc_pid_net(5)). */
function portOf(pid: number): number | undefined {
  let sockets: (string | undefined)[];
  try {
    const links = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    sockets = links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1]);
  } catch {
    // It closed one meanwhile, or ended: the next look tells.
    return undefined;
  }
  const listening = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find(
      ([, , , state, , , , , , inode]) => state === '0A' && inode !== undefined && sockets.includes(inode),
    );
  const port = listening?.[1]?.split(':')[1];
  return port === undefined ? undefined : parseInt(port, 16);
}
