import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { unlessMissing } from './missing.ts';

/**
 * Those of a folder's entries that are still there, with the time of their last change in milliseconds since 1970; the
 * newest first.
 */
export async function byAge(
  folder: string,
  names: readonly string[],
): Promise<{ name: string; time: number }[]> {
  const look = async (name: string) => {
    // Another process may take it away meanwhile.
    const found = await unlessMissing(() => stat(join(folder, name)));
    return found === undefined ? [] : [{ name, time: found.mtimeMs }];
  };
  const found = (await Promise.all(names.map(look))).flat();
  return found.sort((a, b) => b.time - a.time);
}
