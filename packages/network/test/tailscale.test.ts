import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readTailscaleTags, tailscaleFeatures, tailscaleVersion } from '../tailscale.ts';
import { program } from './running.ts';

const folder = mkdtempSync(join(tmpdir(), 'sovereign-tailscale-'));
const socket = join(folder, 'tailscaled.sock');
const client = join(folder, 'tailscale');
let daemon: ChildProcess;

/** Runs the client: what it printed, and how it ended. */
function tailscale(...args: string[]): { status: number | null; stdout: string } {
  const { status, stdout } = spawnSync(client, [`--socket=${socket}`, ...args], { encoding: 'utf8' });
  return { status, stdout };
}

beforeAll(async () => {
  const file = await program('tailscaled');
  symlinkSync(file, client);
  // In namespaces without an interface, so that it reaches nobody. In the place of unshare: it has ended when that has.
  daemon = spawn(
    'unshare',
    [
      ...['--user', '--map-root-user', '--net', file],
      ...[`--statedir=${folder}`, `--socket=${socket}`, '--tun=userspace-networking', '--no-logs-no-support'],
    ],
    { stdio: 'ignore', env: { ...process.env, TS_LOGS_DIR: folder } },
  );
  await once(daemon, 'spawn');
});

afterAll(async () => {
  const ended = once(daemon, 'exit');
  daemon.kill('SIGKILL');
  await ended;
  rmSync(folder, { recursive: true, force: true });
});

test('the program says the version that go.mod names, by both its names', async () => {
  const version = await tailscaleVersion();
  expect(tailscale('version').stdout.split('\n')[0]).toBe(version);
  const { stdout } = spawnSync(await program('tailscaled'), ['--version'], { encoding: 'utf8' });
  expect(stdout.split('\n')[0]).toBe(version);
});

test('called as tailscale, it is the client of the daemon that it is otherwise', async () => {
  const state = () => {
    const { status, stdout } = tailscale('status', '--json');
    return status === 0 ? (JSON.parse(stdout) as { BackendState: string }).BackendState : undefined;
  };
  await expect.poll(state, { timeout: 30_000, interval: 200 }).toBe('NeedsLogin');
});

test('has the options that guests and their owners use', () => {
  const { stderr } = spawnSync(client, ['up', '--help'], { encoding: 'utf8' });
  for (const option of [
    'accept-dns',
    'advertise-tags',
    'auth-key',
    'client-secret',
    'hostname',
    'login-server',
    'netfilter-mode',
  ]) {
    expect(stderr).toContain(`--${option}`);
  }
});

test('every feature has a reason, and the locked tags leave none of them out', async () => {
  const tags = await readTailscaleTags();
  expect(tags).toContain('ts_include_cli');
  for (const [feature, reason] of Object.entries(tailscaleFeatures)) {
    expect(reason).not.toBe('');
    expect(tags).not.toContain(`ts_omit_${feature}`);
  }
  // The other way around: what nobody gave a reason for is left out.
  for (const feature of ['ssh', 'taildrop', 'useexitnode', 'clientupdate'])
    expect(tags).toContain(`ts_omit_${feature}`);
});
