import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { runInside, toCommand } from './enter.ts';

const options = {
  binds: [
    { source: '/home/me/my tree', target: '/src' },
    { source: '/tmp/o', target: '/out', write: true },
  ],
  env: { ARCH: 'arm64' },
  cwd: '/src',
};

test('bubblewrap gets a read-only tree, no network and nothing of the caller’s environment', () => {
  const command = toCommand('bubblewrap', '/tools', ['make', '-j2'], options);
  expect(command.slice(0, 2)).toEqual(['bwrap', '--unshare-all']);
  expect(command.join('\n')).toContain('--ro-bind\n/tools\n/\n');
  expect(command.join('\n')).toContain('--ro-bind\n/home/me/my tree\n/src\n--bind\n/tmp/o\n/out');
  expect(command).toContain('--clearenv');
  expect(command.slice(-3)).toEqual(['--', 'make', '-j2']);
});

test('a user namespace is only made for an ordinary user', () => {
  expect(toCommand('user-namespace', '/tools', ['true'], {})).toContain('--map-root-user');
  expect(toCommand('namespace', '/tools', ['true'], {})).not.toContain('--user');
});

test('every way gives the program the same environment', () => {
  for (const way of ['namespace', 'user-namespace'] as const) {
    const command = toCommand(way, '/tools', ['true'], options);
    expect(command.slice(command.indexOf('env'))).toEqual([
      'env',
      '-i',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
      'HOME=/tmp',
      'LC_ALL=C',
      'TZ=UTC',
      'SOURCE_DATE_EPOCH=0',
      'ARCH=arm64',
      'true',
    ]);
  }
});

test('where neither user namespaces nor bubblewrap are to be had, the error says what to allow', async () => {
  const bin = mkdtempSync(join(tmpdir(), 'bin-'));
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(bin, { recursive: true });
  });
  // A kernel that allows an unshare(1) nothing; there is no bwrap.
  writeFileSync(join(bin, 'unshare'), '#!/bin/sh\necho "unshare: Operation not permitted" >&2\nexit 1\n', {
    mode: 0o755,
  });
  vi.stubEnv('PATH', bin);
  await expect(runInside('/tools', ['true'], {})).rejects.toMatchObject({
    code: 'no-namespaces',
    on: '/tools',
    hint: expect.stringMatching(/user namespaces .*bubblewrap.*--tools docker/) as string,
  });
});
