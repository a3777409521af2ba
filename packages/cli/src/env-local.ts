import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { writeFileAtomic } from '@sovereign/store';

/** The checkout's own settings, `NAME=VALUE` lines that Nx reads too; git ignores the file. */
const path = (root: string): string => join(root, '.env.local');

async function text(root: string): Promise<string> {
  try {
    return await readFile(path(root), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

export async function readLocal(root: string, name: string): Promise<string | undefined> {
  const value = parseEnv(await text(root))[name];
  return value === '' ? undefined : value;
}

/** Adds a setting; every other line stays as it is. */
export async function addLocal(root: string, name: string, value: string, why: string): Promise<void> {
  const before = await text(root);
  const end = before === '' || before.endsWith('\n') ? '' : '\n';
  await writeFileAtomic(path(root), `${before}${end}# ${why}\n${name}=${value}\n`, 0o600);
}
