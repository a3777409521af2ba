import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
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
    endpoint: `http://127.0.0.1:${await freePort()}`,
    bucket: 'cache',
    region: 'us-east-1',
    accessKeyId: 'test',
    secretAccessKey: 'secret-for-tests',
    sessionToken: undefined,
  };
  const port = `127.0.0.1:${new URL(options.endpoint).port}`;
  const child = spawn(await versitygwProgram(), ['--port', port, '--quiet', 'posix', join(home, 's3')], {
    env: { ROOT_ACCESS_KEY: options.accessKeyId, ROOT_SECRET_KEY: options.secretAccessKey, HOME: home },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const late = performance.now() + START;
  while (!(await fetch(options.endpoint).then(discardBody, () => false))) {
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

/** versitygw does not tell which port it got, so it is told one. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0));
    });
  });
}
