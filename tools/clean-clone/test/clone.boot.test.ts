import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Clone } from './clone.ts';

// Each builds or boots; the first also installs the locked dependencies.
vi.setConfig({ testTimeout: 1_200_000, hookTimeout: 600_000 });

/** What `up` and `status` print, in part. */
interface Status {
  devices: {
    services: { state: string; healthy: boolean | null; pid: number | null; endpoints: { url: string }[] }[];
  }[];
}

let clone: Clone;

beforeAll(async () => {
  clone = await Clone.make();
});
afterAll(async () => {
  await clone.run('./sovereign', 'remove', '--sql', '--data', '--yes', '-s', 'local');
  // Where Nx runs one, it writes into the clone.
  await clone.run('./nx', 'daemon', '--stop');
  await clone.remove();
});

const ask = async (command: 'up' | 'status') =>
  (await clone.json<Status>(command, '--sql')).devices[0]?.services[0];

/** A real psql with the address that `up` prints and the password that `secrets show` gives. */
async function psql(url: string, sql: string): Promise<string> {
  const { value } = await clone.json<{ value: string }>(
    'secrets',
    'show',
    'sql',
    'postgres-password',
    '--yes',
  );
  const args = [url, '--no-psqlrc', '--tuples-only', '--no-align', '--command', sql];
  return (await execa('psql', args, { env: { PGPASSWORD: value } })).stdout;
}

test('one command in a clean clone with an empty home ends with a database that takes rows', async () => {
  const url = (await ask('up'))?.endpoints[0]?.url ?? '';
  await psql(url, 'create table seen (word text)');
  expect(await psql(url, "insert into seen values ('kept') returning word")).toMatch(/^kept$/m);
});

test('a second `up` changes nothing', async () => {
  // The database works meanwhile: what is free on its disk, and what its machine holds, is told anew.
  const unchanged = async (command: 'up' | 'status') => ({
    ...(await ask(command)),
    data: undefined,
    memory: undefined,
  });
  const before = await unchanged('status');
  expect(before).toMatchObject({ state: 'running', healthy: true });
  expect(await unchanged('up')).toEqual(before);
  expect(await unchanged('status')).toEqual(before);
});

test('every live check passes', async () => {
  const { passed, failed } = await clone.json<{ passed: number; failed: number }>('test', '--sql');
  expect({ passed: passed > 15, failed }).toEqual({ passed: true, failed: 0 });
});

test('after `down` and `up` the rows are there', async () => {
  await clone.json('down', '--sql');
  expect(await ask('status')).toMatchObject({ state: 'stopped', pid: null });
  const url = (await ask('up'))?.endpoints[0]?.url ?? '';
  expect(await psql(url, 'select word from seen')).toBe('kept');
});

test('Nx runs a deploy, says what a change affects, and draws its graph', async () => {
  const { stdout, stderr, exitCode } = await clone.run('./nx', 'run', 'rootfs-sql:deploy');
  expect(exitCode, stdout + stderr).toBe(0);

  const shown = await clone.run('./nx', 'show', 'project', 'rootfs-sql', '--json');
  expect(Object.keys((JSON.parse(shown.stdout) as { targets: object }).targets)).toEqual(
    expect.arrayContaining(['build', 'deploy', 'lock', 'start', 'stop', 'test', 'verify']),
  );

  appendFileSync(join(clone.folder, 'packages/rootfs-sql/service.config.ts'), '\n// changed\n');
  const file = join(clone.folder, 'affected.json');
  const affected = await clone.run('./nx', 'affected', '-t', 'test', `--graph=${file}`);
  expect(affected.exitCode, affected.stderr).toBe(0);
  const { tasks } = JSON.parse(readFileSync(file, 'utf8')) as { tasks: { tasks: Record<string, unknown> } };
  expect(Object.keys(tasks.tasks)).toContain('rootfs-sql:test');
  expect(Object.keys(tasks.tasks)).not.toContain('kernel:test');

  const graph = join(clone.folder, 'graph.json');
  expect((await clone.run('./nx', 'graph', `--file=${graph}`)).exitCode).toBe(0);
  const { nodes } = (JSON.parse(readFileSync(graph, 'utf8')) as { graph: { nodes: Record<string, unknown> } })
    .graph;
  expect(Object.keys(nodes)).toEqual(
    expect.arrayContaining(['kernel', 'rootfs-sql', 'device-agent', '@sovereign/cli']),
  );
});
