/** Names of the environment, which Nx also reads from `.env.local`. */
export const SERVER = 'SOVEREIGN_CACHE_SERVER';
export const TOKEN = 'SOVEREIGN_CACHE_TOKEN';
export const WAIT = 'SOVEREIGN_CACHE_WAIT';
export const SILENCE = 'SOVEREIGN_CACHE_SILENCE';

/** Nx's own names for the same: its client reads them, so what it finds there is the proxy's. */
export const NX_SERVER = 'NX_SELF_HOSTED_REMOTE_CACHE_SERVER';
export const NX_TOKEN = 'NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN';

export interface ProxySettings {
  /** Where the server is; a path in it is kept. */
  server: URL;
  token: string;
  /** At the end of a run, what is still to be sent gets so long, in milliseconds. */
  wait: number;
  /** Without a byte in either direction for so long the server counts as gone, in milliseconds. */
  silence: number;
}

const value = (env: NodeJS.ProcessEnv, name: string): string | undefined =>
  env[name] === '' ? undefined : env[name];

/** Whether a remote cache is asked for at all, under whichever name. */
export const isCacheSet = (env: NodeJS.ProcessEnv): boolean =>
  value(env, SERVER) !== undefined || value(env, NX_SERVER) !== undefined;

/** What is asked for, or in one sentence why it cannot be used. */
export function readProxySettings(env: NodeJS.ProcessEnv): ProxySettings | string {
  const name = value(env, SERVER) === undefined ? NX_SERVER : SERVER;
  const address = value(env, name) ?? '';
  const server = URL.parse(address.endsWith('/') ? address : `${address}/`);
  if (server === null || !/^https?:$/.test(server.protocol)) {
    return `${name} is no address; write it as https://HOST or http://HOST:PORT`;
  }
  if (server.username !== '' || server.password !== '' || server.search !== '') {
    return `${name} holds more than an address; the token belongs in ${TOKEN}`;
  }
  const token = value(env, TOKEN) ?? value(env, NX_TOKEN) ?? '';
  if (!/^[\x21-\x7e]+$/.test(token)) return `${TOKEN} holds no token`;
  const wait = value(env, WAIT) ?? '10';
  if (!/^\d{1,5}$/.test(wait)) return `${WAIT} is no number of seconds`;
  const silence = value(env, SILENCE) ?? '4';
  if (!/^[1-9]\d{0,4}$/.test(silence)) return `${SILENCE} is no number of seconds from 1 on`;
  return { server, token, wait: Number(wait) * 1000, silence: Number(silence) * 1000 };
}
