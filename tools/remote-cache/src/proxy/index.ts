import { join } from 'node:path';
import { startProxy, type Proxy } from './proxy.ts';
import { isCacheSet, NX_SERVER, NX_TOKEN, readProxySettings, TOKEN } from './settings.ts';
import { usual } from './upstream.ts';

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
  // A daemon keeps the plugin, and a later run may have none.
  if (!isCacheSet(env)) return;
  const restore = restorer(env);
  const settings = readProxySettings(env);
  try {
    if (typeof settings === 'string') throw new Error(settings);
    const { server, token, wait, silence } = settings;
    const folder = join(workspaceRoot, '.nx');
    const proxy = await startProxy({ server, token, folder, warn, limits: { ...usual, silence } });
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
  // Once Nx has taken note.
  setImmediate(restore);
}

/**
 * In a process of the plugin's own Nx notes what is set while the hook runs, and sets it for the run. The process may
 * serve another run after that, in a daemon also at the same time, and that one starts from what a person has set.
 */
function restorer(env: NodeJS.ProcessEnv): () => void {
  if (!('NX_PLUGIN_WORKER' in globalThis)) return () => undefined;
  const before = [NX_SERVER, NX_TOKEN, TOKEN].map((name) => [name, env[name]] as const);
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = value;
    }
  };
}

/** After the tasks: gives uploads the time that they may have, and ends the proxy. */
export async function closeForRun(id: string): Promise<void> {
  const entry = running.get(id);
  running.delete(id);
  await entry?.proxy.close(entry.wait);
}
