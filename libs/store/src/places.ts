import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** A folder of the XDG base directory specification; a relative value is ignored, as it asks. */
function xdg(variable: string, fallback: string): string {
  const value = process.env[variable];
  const base = value?.startsWith('/') === true ? value : join(process.env.HOME ?? homedir(), fallback);
  return join(base, 'sovereign');
}

/** Downloads and content-keyed build caches; may be deleted at any time. */
export const cacheDir = (...parts: string[]): string => join(xdg('XDG_CACHE_HOME', '.cache'), ...parts);

/** Settings and secrets. */
export const configDir = (...parts: string[]): string => join(xdg('XDG_CONFIG_HOME', '.config'), ...parts);

/** The local device: store, slots, data disks, logs. */
export const dataDir = (...parts: string[]): string => join(xdg('XDG_DATA_HOME', '.local/share'), ...parts);

/** The checkout that this file lies in. */
export function workspaceRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'nx.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error('no nx.json above the sources: this is no checkout of Sovereign');
    folder = parent;
  }
  return folder;
}
