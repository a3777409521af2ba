import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { EVENTS_VARIABLE } from '@sovereign/report';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { refreshLocks, runRefreshing } from './locks.ts';
import type { NxRun } from './nx.ts';
import { fakeSession } from './testing/session.ts';

let root: string;
let run: NxRun;

const lock = (version: string) => ({
  schema: 1,
  base: 'debian',
  release: 'trixie',
  arch: 'arm64',
  requested: ['openrc'],
  packages: [
    { name: 'openrc', version, archive: 'debian', path: 'pool/o.deb', size: 1, sha256: 'a'.repeat(64) },
  ],
});

/** A stand-in for Nx: `lock` writes a newer lock, everything else needs it. */
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'locks-'));
  const nx = join(root, 'node_modules/nx/dist/bin/nx.js');
  const file = join(root, 'packages/rootfs-sql/debian.lock.json');
  for (const path of [nx, file, join(root, 'events')]) await mkdir(dirname(path), { recursive: true });
  await writeFile(join(root, 'events'), '');
  await writeFile(file, JSON.stringify(lock('1')));
  const stale = {
    at: '',
    step: 'fetching',
    state: 'failed',
    error: { exit: 1, code: 'stale-lock', what: 'the lock is stale', on: file },
  };
  await writeFile(
    nx,
    `const fs = require('node:fs');
const line = process.argv.slice(2).join(' ');
fs.appendFileSync('nx.log', line + '\\n');
if (line.includes('--targets=lock')) fs.writeFileSync(${JSON.stringify(file)}, ${JSON.stringify(JSON.stringify(lock('2')))});
else if (JSON.parse(fs.readFileSync(${JSON.stringify(file)})).packages[0].version === '1') {
  fs.appendFileSync(process.env.SOVEREIGN_EVENTS, ${JSON.stringify(`${JSON.stringify(stale)}\n`)});
  process.exit(1);
}`,
  );
  process.env[EVENTS_VARIABLE] = join(root, 'events');
  run = {
    root,
    targets: ['build'],
    projects: ['rootfs-sql'],
    verbose: false,
    signal: new AbortController().signal,
  };
});
afterEach(async () => {
  Reflect.deleteProperty(process.env, EVENTS_VARIABLE);
  await rm(root, { recursive: true });
});

const targets = async () => (await readFile(join(root, 'nx.log'), 'utf8')).match(/(?<=--targets=)\S+/g);

describe('a stale lock', () => {
  it('is refreshed once, within the same command', async () => {
    await runRefreshing(fakeSession().session, run);
    expect(await targets()).toEqual(['build', 'lock', 'build']);
    expect(await readFile(join(root, 'events'), 'utf8')).toContain('the lock is stale; refreshing the lock');
  });

  it('is an error with --locked', async () => {
    await expect(runRefreshing(fakeSession({ flags: { locked: true } }).session, run)).rejects.toMatchObject({
      code: 'stale-lock',
    });
    expect(await targets()).toEqual(['build']);
  });
});

it('refreshing says what changed', async () => {
  expect(await refreshLocks(run)).toEqual(['rootfs-sql (debian): openrc 1 -> 2']);
  expect(await refreshLocks(run)).toEqual([]);
});
