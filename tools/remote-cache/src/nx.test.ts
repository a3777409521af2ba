import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { READ, WRITE } from './testing/client.ts';
import {
  lasting,
  misbehave,
  missing,
  single,
  slow,
  uploads,
  type Fault,
  type Misbehaving,
} from './testing/misbehaving.ts';
import { endServers, startServer } from './testing/server-process.ts';
import { TinyWorkspace, type NxResult } from './testing/workspace.ts';

// Real runs of Nx, each with a deadline of its own, which a hung one would miss.
const TIMEOUT = 300_000;

const projects = ['a', 'b'];
let workspace: TinyWorkspace;
let server: Misbehaving | undefined;

beforeAll(() => {
  workspace = new TinyWorkspace(projects);
});
afterAll(() => workspace.remove());
afterEach(async () => {
  await endServers();
  await server?.close();
  server = undefined;
  workspace.clean();
});

const cache = (url: string, token = WRITE, wait = 5) => ({
  SOVEREIGN_CACHE_SERVER: url,
  SOVEREIGN_CACHE_TOKEN: token,
  SOVEREIGN_CACHE_WAIT: String(wait),
});
/** For a real server, which a busy machine may hold up: what is not sent is not served, and is waited for. */
const patient = (url: string, token: string) => ({
  ...cache(url, token, 60),
  SOVEREIGN_CACHE_SILENCE: '60',
});
const warnings = ({ output }: NxResult) =>
  output.split('\n').filter((line) => line.includes('warning: remote cache'));

/** All was built, by the build alone, and nothing is left. */
function built(result: NxResult): void {
  expect(result.output).toContain('Successfully ran target build');
  expect([result.status, result.ran]).toEqual([0, projects]);
  for (const name of projects) expect(workspace.output(name)).toBe(`what ${name} is made of\n`);
  expect(readdirSync(join(workspace.root, '.nx')).filter((name) => name.includes('spool'))).toEqual([]);
}

test('a second clone is served everything, by a token that may only read', { timeout: TIMEOUT }, async () => {
  const home = mkdtempSync(join(tmpdir(), 'sovereign-server-'));
  try {
    const real = await startServer(home);
    const first = await workspace.build(patient(real.url, WRITE));
    built(first);
    expect(warnings(first)).toEqual([]);
    const stored = () => readdirSync(join(home, 'store')).filter((name) => name !== 'unfinished');
    expect(stored()).not.toEqual([]);

    workspace.clean();
    const second = await workspace.build(patient(real.url, READ));
    expect([second.status, second.ran]).toEqual([0, []]);
    expect(second.output).toContain('[remote cache]');
    for (const name of projects) expect(workspace.output(name)).toBe(`what ${name} is made of\n`);

    workspace.clean();
    const wrong = await workspace.build(patient(real.url, 'x'.repeat(40)));
    built(wrong);
    expect(warnings(wrong)).toEqual([expect.stringContaining('it refuses the token')]);
  } finally {
    await endServers();
    rmSync(home, { recursive: true, force: true });
  }
});

test('without a cache nothing is said and nothing is asked', { timeout: TIMEOUT }, async () => {
  const result = await workspace.build({});
  built(result);
  expect(result.output).not.toMatch(/remote cache/i);
});

const table: [string, readonly Fault[], Fault?][] = [
  ...Object.entries(lasting).map(([name, fault]): [string, Fault[]] => [name, [fault]]),
  ['a body that comes too slowly', [slow]],
  // The build of the one meets the one, that of the other the other.
  [
    'bytes that are no artifact, a wrong digest',
    [single['bytes that are no artifact'], single['a wrong digest']],
  ],
  ['a huge body, a device', [single['a huge body'], single['a device']]],
  [
    'a path out of the workspace, an early end',
    [single['a path out of the workspace'], single['an artifact that ends early']],
  ],
  ...Object.entries(uploads).map(([name, fault]): [string, Fault[], Fault] => [
    `an upload with ${name}`,
    [missing],
    fault,
  ]),
];

// A part of them here; each fault by itself is tried with the proxy alone, and all of them in a long run.
const sample = [
  'status 500',
  'a body that is cut',
  'an answer that never comes',
  'a redirect to itself',
  'bytes that are no artifact, a wrong digest',
  'a huge body, a device',
  'an upload with an answer that never comes',
  'an upload with status 500',
];
const long = process.env.SOVEREIGN_LONG === '1';

test.each(table.filter(([name]) => long || sample.includes(name)))(
  'a build with %s succeeds, with one warning',
  { timeout: TIMEOUT },
  async (name, gets, put) => {
    server = await misbehave(gets, put);
    const result = await workspace.build(cache(server.url));
    console.log(`${name}: ${(result.ms / 1000).toFixed(1)} s, ${warnings(result).join(' | ')}`);
    built(result);
    expect(warnings(result)).toHaveLength(1);
  },
);

test('a build with no server there, or one without TLS, succeeds', { timeout: TIMEOUT }, async () => {
  server = await misbehave([missing]);
  const tls = await workspace.build(cache(server.url.replace('http:', 'https:')));
  built(tls);
  expect(warnings(tls)).toHaveLength(1);
  await server.close();
  workspace.clean();
  const gone = await workspace.build(cache(server.url));
  built(gone);
  expect(warnings(gone)).toEqual([expect.stringContaining('ECONNREFUSED')]);
});

test(
  'an address that is none costs one warning, and Nx’s own name for it is never used directly',
  { timeout: TIMEOUT },
  async () => {
    const nowhere = await workspace.build(cache('nowhere'));
    built(nowhere);
    expect(warnings(nowhere)).toEqual([expect.stringContaining('SOVEREIGN_CACHE_SERVER')]);
    workspace.clean();
    server = await misbehave([lasting['status 500']]);
    const own = await workspace.build({
      NX_SELF_HOSTED_REMOTE_CACHE_SERVER: server.url,
      NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN: WRITE,
    });
    built(own);
    expect(warnings(own)).toHaveLength(1);
  },
);

test('Nx killed in the middle leaves no process, no port and no file', { timeout: TIMEOUT }, async () => {
  let asked: (port: number) => void = () => undefined;
  const met = new Promise<number>((resolve) => (asked = resolve));
  server = await misbehave([(request) => asked(request.socket.remotePort ?? 0)]);
  const child = workspace.start(cache(server.url));
  const ended = new Promise((resolve) => child.once('close', resolve));
  await met;
  child.kill('SIGKILL');
  await ended;
  // The plugin's process had the proxy; it ends with its connection to Nx.
  await expect.poll(() => processesIn(workspace.root), { timeout: 60_000 }).toEqual([]);
  expect(readdirSync(join(workspace.root, '.nx')).filter((name) => name.includes('spool'))).toEqual([]);
});

/** Processes whose current folder is this one. */
function processesIn(folder: string): string[] {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && currentFolder(pid) === folder);
}

function currentFolder(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    // Gone meanwhile, or another user's.
    return undefined;
  }
}
