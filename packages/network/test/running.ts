import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readManifest } from '@sovereign/service';
import { hostArch } from '@sovereign/tools';
import { vi } from 'vitest';

const dist = join(import.meta.dirname, '../dist');

/** Path of what was built for this machine. */
export async function program(name: 'gvproxy' | 'gvforwarder' | 'tailscaled'): Promise<string> {
  const manifest = await readManifest(dist, 'network');
  return join(dist, manifest[name][hostArch()].name);
}

export interface Running {
  /** Socket of the API for the device itself. */
  api: string;
  /** Socket where guests connect. */
  guests: string;
  stop(): Promise<void>;
}

/**
 * Runs the gvproxy that was built for this machine, with a folder of its own for its API.
 * @param socket where guests connect, in that folder where it is not given
 */
export async function runGvproxy(config: string, socket?: string): Promise<Running> {
  const { child, folder, api, guests } = await start(config, socket);
  const ended = once(child, 'exit');
  await vi.waitUntil(() => listens(api), { timeout: 20_000, interval: 10 });
  return {
    api,
    guests,
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
      rmSync(guests, { force: true });
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The socket is there a moment before anybody listens on it. */
const listens = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    }).on('error', () => resolve(false));
  });

/** The exit status of a gvproxy that ends by itself; `socket` is where its guests would connect. */
export async function endOf(config: string, socket?: string): Promise<unknown> {
  const { child, folder } = await start(config, socket);
  const [status] = (await once(child, 'exit', { signal: AbortSignal.timeout(20_000) })) as unknown[];
  rmSync(folder, { recursive: true, force: true });
  return status;
}

async function start(config: string, socket?: string) {
  const folder = mkdtempSync(join(tmpdir(), 'sovereign-gvproxy-'));
  const [yaml, api] = [join(folder, 'gvproxy.yaml'), join(folder, 'api.sock')];
  const guests = socket ?? join(folder, 'connect.sock');
  writeFileSync(yaml, config);
  const args = ['-config', yaml, '-listen', `unix://${guests}`, '-services', `unix://${api}`];
  const child = spawn(await program('gvproxy'), args, { stdio: 'ignore' });
  return { child, folder, api, guests };
}

/** One request over a unix socket: a POST where there is something to send. */
export function ask(
  socketPath: string,
  path: string,
  body?: object,
): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, method: body === undefined ? 'GET' : 'POST' }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode, text: text.trim() }));
    });
    asked.on('error', reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
