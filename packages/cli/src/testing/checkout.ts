import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { EVENTS_VARIABLE } from '@sovereign/report';
import { three } from './services.ts';

export interface FakeCheckout {
  root: string;
  /** Every command line that the stand-in for Nx was given. */
  nxRuns(): Promise<string[]>;
  events(): Promise<string>;
  remove(): Promise<void>;
}

/**
 * A checkout with a stand-in in the place of Nx: `source` is its body, with `fs`, `argv` (the words), `line` (the same
 * joined) and `announce` (appends an event) to use. The base is chosen already, every service has a lock that is empty,
 * and events go to a file.
 */
export async function fakeCheckout(source = ''): Promise<FakeCheckout> {
  const root = await mkdtemp(join(tmpdir(), 'check out-'));
  const nx = join(root, 'node_modules/nx/dist/bin/nx.js');
  const events = join(root, 'events');
  await mkdir(dirname(nx), { recursive: true });
  await writeFile(join(root, '.env.local'), 'SOVEREIGN_BASE=debian\n');
  await writeFile(events, '');
  for (const { project } of three) {
    await mkdir(join(root, 'packages', project), { recursive: true });
    await writeFile(join(root, 'packages', project, 'debian.lock.json'), '');
  }
  await writeFile(
    nx,
    `const fs = require('node:fs');
const argv = process.argv.slice(2);
const line = argv.join(' ');
const announce = (event) =>
  fs.appendFileSync(process.env.SOVEREIGN_EVENTS, JSON.stringify({ at: '', step: 's', ...event }) + '\\n');
fs.appendFileSync('nx.log', line + '\\n');
${source}`,
  );
  const before = process.env[EVENTS_VARIABLE];
  process.env[EVENTS_VARIABLE] = events;
  return {
    root,
    nxRuns: async () => {
      const log = await readFile(join(root, 'nx.log'), 'utf8').catch(() => '');
      return log.split('\n').filter((line) => line !== '');
    },
    events: () => readFile(events, 'utf8'),
    remove: async () => {
      if (before === undefined) Reflect.deleteProperty(process.env, EVENTS_VARIABLE);
      else process.env[EVENTS_VARIABLE] = before;
      await rm(root, { recursive: true, force: true });
    },
  };
}
