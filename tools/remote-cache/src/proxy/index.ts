import { join } from 'node:path';
import { startProxy, type Proxy } from './proxy.ts';
import { NX_SERVER, NX_TOKEN, readProxySettings, TOKEN } from './settings.ts';

/** The proxies of the runs that are under way, by Nx's name for the run: a daemon serves several at once. */
const running = new Map<string, { proxy: Proxy; wait: number }>();

const warn = (line: string): void => console.error(line);

export interface RunContext {
  id: string;
  workspaceRoot: string;
}

/**
 * Before the tasks: puts the proxy between Nx's client and the cache that the environment names. Never fails: without
 * a proxy there is no remote cache.
 */
export async function openForRun({ id, workspaceRoot }: RunContext, env = process.env): Promise<void> {
  const settings = readProxySettings(env);
  try {
    if (typeof settings === 'string') throw new Error(settings);
    const { server, token, wait } = settings;
    const folder = join(workspaceRoot, '.nx');
    const proxy = await startProxy({ server, token, folder, warn });
    running.set(id, { proxy, wait });
    env[NX_SERVER] = proxy.url;
    env[NX_TOKEN] = proxy.token;
  } catch (error) {
    warn(`warning: remote cache: ${(error as Error).message}; building without it`);
    env[NX_SERVER] = '';
    env[NX_TOKEN] = '';
  }
  // Tasks inherit the environment, and none of them has any business with the cache.
  env[TOKEN] = '';
}

/** After the tasks: gives uploads the time that they may have, and ends the proxy. */
export async function closeForRun(id: string): Promise<void> {
  const entry = running.get(id);
  running.delete(id);
  await entry?.proxy.close(entry.wait);
}
