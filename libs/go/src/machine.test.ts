import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { machineSettings } from './machine.ts';

let folder: string;
let home: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sovereign-settings-'));
  home = join(folder, 'home');
  for (const path of ['home/.config/go', 'home/Library/Application Support/go', 'out', 'authorities']) {
    mkdirSync(join(folder, path), { recursive: true });
  }
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const file = (path: string, content: string): string => {
  writeFileSync(join(folder, path), content);
  return join(folder, path);
};

/** What a shell has in its environment once it has read the settings; files are seen where they are. */
async function settings(env: NodeJS.ProcessEnv, platform: NodeJS.Platform = 'linux') {
  const script = await machineSettings(join(folder, 'out'), (path) => path, { HOME: home, ...env }, platform);
  const shell = 'eval "$1"; exec /usr/bin/env -0';
  const printed = execFileSync('/bin/sh', ['-c', shell, 'sh', script], { env: {}, encoding: 'utf8' });
  return Object.fromEntries(
    printed
      .split('\0')
      .filter((line) => line !== '')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}

test('what the machine says of modules and of the way out goes along as it is, and nothing else', async () => {
  const env = {
    GOPROXY: "https://me:it's $(id)\n@modules.example,off",
    GONOSUMDB: '*',
    HTTPS_PROXY: 'http://10.0.0.1:3128',
    no_proxy: '.example',
  };
  const found = await settings({ ...env, GOFLAGS: '-mod=mod', GOROOT: '/usr/local/go', SECRET: 'x' });
  expect(found).toMatchObject(env);
  for (const name of ['GOFLAGS', 'GOROOT', 'SECRET']) expect(found).not.toHaveProperty(name);
});

test('Go’s own settings, netrc and authorities are files that their owner alone can read', async () => {
  file('home/.config/go/env', 'GOPROXY=https://modules.example\n');
  file('home/.netrc', 'machine modules.example login me password p\n');
  const SSL_CERT_FILE = file('ca.pem', 'one authority\n');
  file('authorities/other.pem', 'another authority\n');
  const found = await settings({ SSL_CERT_FILE, SSL_CERT_DIR: join(folder, 'authorities') });
  const read = (name: string) => readFileSync(found[name] ?? '', 'utf8');
  expect(read('GOENV')).toContain('https://modules.example');
  expect(read('NETRC')).toContain('password p');
  expect(read('SSL_CERT_FILE')).toMatch(/one authority[^]*another authority/);
  for (const name of ['GOENV', 'NETRC', 'SSL_CERT_FILE'])
    expect(statSync(found[name] ?? '').mode & 0o777).toBe(0o600);
});

test('settings and passwords are looked for where the machine says', async () => {
  const GOENV = file('settings', 'GOSUMDB=off\n');
  const NETRC = file('other', 'machine other\n');
  const found = await settings({ GOENV, NETRC });
  expect(readFileSync(found.GOENV ?? '', 'utf8')).toBe('GOSUMDB=off\n');
  expect(readFileSync(found.NETRC ?? '', 'utf8')).toBe('machine other\n');
  expect(await settings({ GOENV: 'off' })).toMatchObject({ GOENV: 'off' });
});

test('a Mac’s settings are in its Library, and its authorities in no file', async () => {
  file('home/Library/Application Support/go/env', 'GOPROXY=https://mac.example\n');
  const found = await settings({ SSL_CERT_FILE: file('ca.pem', 'of no Mac') }, 'darwin');
  expect(readFileSync(found.GOENV ?? '', 'utf8')).toContain('mac.example');
  expect(readFileSync(found.SSL_CERT_FILE ?? '', 'utf8')).not.toContain('of no Mac');
});

test('what the machine has not is not set', async () => {
  const found = await settings({ GOENV: '', SSL_CERT_FILE: '/nonexistent' });
  for (const name of ['GOPROXY', 'GOENV', 'NETRC', 'SSL_CERT_FILE']) expect(found).not.toHaveProperty(name);
});
