import {
  existsSync,
  globSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { workspaceRoot } from '@sovereign/store';
import { afterEach, expect, test } from 'vitest';
import { READ, WRITE } from './testing/client.ts';
import { endServers, startServer } from './testing/server-process.ts';
import { TinyWorkspace, type NxResult } from './testing/workspace.ts';

// Real runs of Nx, each with a deadline of its own.
const TIMEOUT = 300_000;

const projects = ['a', 'b'];
const workspaces: TinyWorkspace[] = [];
const homes: string[] = [];

function workspace(): TinyWorkspace {
  const made = new TinyWorkspace(projects);
  workspaces.push(made);
  return made;
}
async function cacheServer() {
  const home = mkdtempSync(join(tmpdir(), 'sovereign-server-'));
  homes.push(home);
  const { url } = await startServer(home);
  return {
    store: join(home, 'store'),
    as: (token: string) => ({
      SOVEREIGN_CACHE_SERVER: url,
      SOVEREIGN_CACHE_TOKEN: token,
      SOVEREIGN_CACHE_WAIT: '60',
      SOVEREIGN_CACHE_SILENCE: '60',
    }),
  };
}

afterEach(async () => {
  await endServers();
  for (const { root } of workspaces.splice(0)) rmSync(root, { recursive: true, force: true });
  for (const home of homes.splice(0)) rmSync(home, { recursive: true, force: true });
});

/** Makes the build of a project say that it has begun, and wait for the file `gate`: a minute at most. */
function gate({ root }: TinyWorkspace, name: string): void {
  const path = join(root, name, 'project.json');
  const project = JSON.parse(readFileSync(path, 'utf8')) as { targets: { build: { command: string } } };
  const { build } = project.targets;
  build.command = `touch begun-$$; for n in $(seq 600); do [ -e gate ] && break; sleep 0.1; done; ${build.command}`;
  writeFileSync(path, JSON.stringify(project));
}
const begun = ({ root }: TinyWorkspace) =>
  readdirSync(root).filter((name) => name.startsWith('begun-')).length;
const open = ({ root }: TinyWorkspace) => writeFileSync(join(root, 'gate'), '');

function succeeded({ root }: TinyWorkspace, result: NxResult): void {
  expect(result.output).toContain('Successfully ran target build');
  expect(result.output).not.toContain('warning: remote cache');
  expect(result.status).toBe(0);
  for (const name of projects) {
    expect(readFileSync(join(root, name, 'dist/out'), 'utf8')).toBe(`what ${name} is made of\n`);
  }
}

test('two builds at once in one checkout do not disturb each other', { timeout: TIMEOUT }, async () => {
  const { as } = await cacheServer();
  const one = workspace();
  for (const name of projects) gate(one, name);
  const runs = [one.build(as(WRITE)), one.build(as(WRITE))];
  // Both are in the middle of the same tasks: neither finds what the other has made.
  await expect.poll(() => begun(one), { timeout: 60_000 }).toBe(runs.length * projects.length);
  open(one);
  // What the one has made is written by the other as well.
  for (const result of await Promise.all(runs)) succeeded(one, result);
  const third = await one.build({});
  succeeded(one, third);
  expect(third.ran).toEqual([]);
});

test(
  'two builds at once in two checkouts with one cache do not disturb each other',
  { timeout: TIMEOUT },
  async () => {
    const { as, store } = await cacheServer();
    const [one, other] = [workspace(), workspace()];
    for (const each of [one, other]) for (const name of projects) gate(each, name);
    const runs = [one, other].map((each) => [each, each.build(as(WRITE))] as const);
    // All of each: what has not begun would be served what the other has made.
    for (const [each] of runs)
      await expect.poll(() => begun(each), { timeout: 60_000 }).toBe(projects.length);
    for (const [each] of runs) open(each);
    for (const [each, run] of runs) {
      const result = await run;
      succeeded(each, result);
      expect(result.ran).toEqual(projects);
    }
    // One entry a task, whoever was first.
    expect(globSync('[0-9]*/*', { cwd: store })).toHaveLength(projects.length);
    one.clean();
    const again = await one.build(as(READ));
    succeeded(one, again);
    expect(again.ran).toEqual([]);
  },
);

test('`nx reset` and a cold start work', { timeout: TIMEOUT }, async () => {
  const one = workspace();
  expect((await one.build({})).ran).toEqual(projects);
  expect((await one.build({})).ran).toEqual([]);
  expect((await one.build({}, ['reset'])).status).toBe(0);
  expect(existsSync(join(one.root, '.nx/cache'))).toBe(false);
  const cold = await one.build({});
  succeeded(one, cold);
  expect(cold.ran).toEqual(projects);
  expect((await one.build({})).ran).toEqual([]);
});

test(
  'the local cache does not grow beyond its limit, which this workspace sets',
  { timeout: TIMEOUT },
  async () => {
    const { maxCacheSize } = JSON.parse(readFileSync(join(workspaceRoot(), 'nx.json'), 'utf8')) as {
      maxCacheSize?: string;
    };
    expect(maxCacheSize).toMatch(/^\d+GB$/);
    const one = workspace();
    const path = join(one.root, 'nx.json');
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), maxCacheSize: '100KB' }));
    const kept = () =>
      globSync('.nx/cache/*/**', { cwd: one.root, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
    for (let edit = 0; edit < 3; edit++) {
      const input = join(one.root, 'a/in');
      writeFileSync(input, String(edit).repeat(40_000));
      // Nx looks at a file again where the second of its change is another one: this build may be over within it.
      utimesSync(input, edit, edit);
      const { status, ran } = await one.build({});
      expect([status, ran.includes('a')]).toEqual([0, true]);
      expect(one.output('a')).toHaveLength(40_000);
      expect(kept()).toBeGreaterThan(0);
    }
    expect(kept()).toBeLessThan(100_000);
  },
);
