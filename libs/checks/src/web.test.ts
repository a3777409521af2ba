import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Check, CheckContext } from './contract.ts';
import { forgejoChecks } from './forgejo.ts';
import { runCheck } from './run.ts';
import { standInContext } from './testing/healthy.ts';
import { vaultwardenChecks } from './vaultwarden.ts';

/** What a stand-in for a service answers to `METHOD /path`: a status and a body. */
type Answers = Record<string, readonly [status: number, body?: string]>;

/** A service of this test on loopback. Requests that it has no answer to get 404. */
async function serve(answers: Answers): Promise<{ context: CheckContext; asked: IncomingMessage[] }> {
  const asked: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    asked.push(request);
    request.resume();
    const path = (request.url ?? '').replace(/\?.*/, '').replace(/sovereign-check-[0-9a-f-]+/, 'NAME');
    const answer = answers[`${request.method ?? ''} ${path}`] ?? [404];
    // As Forgejo does with who is not known.
    const may = !/^\/(api|owner)\//.test(path) || isOwner(request);
    const [status, body = ''] = may ? answer : [401];
    response.writeHead(status, { 'www-authenticate': 'Basic realm="Gitea"', connection: 'close' }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const endpoints: Record<string, string> = {
    web: `http://127.0.0.1:${port}/`,
    git: 'ssh://git@127.0.0.1:2222',
  };
  const context = standInContext({
    endpoint: (name) => Promise.resolve(new URL(endpoints[name] ?? '')),
    secrets: () => Promise.resolve(['not yet its password', "it's a password"]),
    setting: () => Promise.resolve('owner'),
  });
  return { context, asked };
}

const isOwner = ({ headers }: IncomingMessage): boolean =>
  headers.authorization === `Basic ${Buffer.from("owner:it's a password").toString('base64')}`;

function named(checks: readonly Check[], name: string): Check {
  const check = checks.find((candidate) => candidate.name === name);
  if (check === undefined) throw new Error(`no check ${name}`);
  return check;
}

const resultOf = async (checks: readonly Check[], name: string, answers: Answers) =>
  runCheck(named(checks, name), (await serve(answers)).context);

const register = 'POST /identity/accounts/register/send-verification-email';
const healthyVault: Answers = {
  'GET /alive': [200, '"2026-11-29T08:00:00Z"'],
  'GET /': [200, '<!doctype html><html lang="en"></html>'],
  [register]: [400],
};

describe('Vaultwarden', () => {
  it.each(vaultwardenChecks.map(({ name }) => name))('passes %s where it is healthy', async (name) => {
    expect(await resultOf(vaultwardenChecks, name, healthyVault)).toMatchObject({ result: 'pass' });
  });

  it.each<[check: string, cause: string, instead: Answers]>([
    ['vault.alive', 'its database does not answer', { 'GET /alive': [500] }],
    ['vault.page', 'the web vault is off', { 'GET /': [404] }],
    ['vault.page', 'the page is empty', { 'GET /': [200] }],
    ['vault.closed', 'anybody may register', { [register]: [204] }],
    ['vault.closed', 'the path is not there', { [register]: [404] }],
  ])('fails %s where %s', async (name, _cause, instead) => {
    const answers = { ...healthyVault, ...instead };
    expect(await resultOf(vaultwardenChecks, name, answers)).toMatchObject({ result: 'fail' });
  });
});

describe('Forgejo', () => {
  const branch = `${'a'.repeat(40)}\trefs/heads/main\n`;
  const healthyForge: Answers = {
    'GET /api/v1/user': [200, '{"login":"owner","is_admin":true}'],
    'POST /api/v1/user/repos': [201, '{}'],
    'POST /api/v1/repos/owner/NAME/keys': [201, '{}'],
    'DELETE /api/v1/repos/owner/NAME': [204],
    // What a server of git's dumb protocol has as files (gitprotocol-http(5)): a real git asks.
    'GET /owner/NAME.git/info/refs': [200, branch],
    'GET /owner/NAME.git/HEAD': [200, 'ref: refs/heads/main\n'],
  };
  let folder: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sovereign-checks-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const repository = join(folder, 'repository');
    const git = (...words: string[]) =>
      execa('git', ['-C', repository, '-c', 'user.name=a', '-c', 'user.email=a@example.org', ...words]);
    await execa('git', ['init', '--quiet', repository]);
    await git('commit', '--quiet', '--allow-empty', '--message', 'first');
    ssh(`exec git upload-pack '${repository}'`);
  });

  /** A stand-in for ssh: whoever is asked, this is what it does there. */
  function ssh(script: string): void {
    writeFileSync(join(folder, 'ssh'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    vi.stubEnv('PATH', `${folder}:${process.env.PATH ?? ''}`);
    onTestFinished(() => void vi.unstubAllEnvs());
  }

  it.each(forgejoChecks.map(({ name }) => name))('passes %s where it is healthy', async (name) => {
    expect(await resultOf(forgejoChecks, name, healthyForge)).toMatchObject({ result: 'pass' });
  });

  const created = 'POST /api/v1/user/repos';
  it.each<[check: string, cause: string, instead: Answers]>([
    ['forge.admin', 'its password is another', { 'GET /api/v1/user': [401] }],
    [
      'forge.admin',
      'it is no administrator',
      { 'GET /api/v1/user': [200, '{"login":"owner","is_admin":false}'] },
    ],
    ['git.http', 'no repository can be made', { [created]: [500] }],
    ['git.http', 'git is not served', { 'GET /owner/NAME.git/info/refs': [404] }],
    ['git.http', 'the commit is not there', { 'GET /owner/NAME.git/info/refs': [200, ''] }],
    ['git.ssh', 'no repository can be made', { [created]: [500] }],
    ['git.ssh', 'keys are not taken', { 'POST /api/v1/repos/owner/NAME/keys': [422] }],
  ])('fails %s where %s', async (name, _cause, instead) => {
    const answers = { ...healthyForge, ...instead };
    expect(await resultOf(forgejoChecks, name, answers)).toMatchObject({ result: 'fail' });
  });

  it('removes what a check has left that was killed, and nothing else', async () => {
    const old = '2026-01-01T00:00:00Z';
    const data = [
      { full_name: 'owner/sovereign-check-0a', created_at: old },
      { full_name: 'owner/sovereign-check-0b', created_at: new Date().toISOString() },
      { full_name: 'owner/about-sovereign-check-0c', created_at: old },
      { full_name: 'other/sovereign-check-0d', created_at: old },
    ];
    const { context, asked } = await serve({
      ...healthyForge,
      'GET /api/v1/repos/search': [200, JSON.stringify({ ok: true, data })],
    });
    expect(await runCheck(named(forgejoChecks, 'git.http'), context)).toMatchObject({ result: 'pass' });
    const removed = asked.filter(({ method }) => method === 'DELETE').map(({ url }) => url);
    // The last is the check's own.
    expect(removed.slice(0, -1)).toEqual(['/api/v1/repos/owner/sovereign-check-0a']);
  });

  it('fails git.ssh where its SSH server lets nobody in', async () => {
    ssh("echo 'git@127.0.0.1: Permission denied (publickey).' >&2; exit 255");
    expect(await resultOf(forgejoChecks, 'git.ssh', healthyForge)).toMatchObject({ result: 'fail' });
  });

  it('loses its repository whatever a check finds, and nothing of it stays here', async () => {
    vi.stubEnv('TMPDIR', folder);
    for (const [name, answers] of [
      ['git.http', healthyForge],
      ['git.ssh', { ...healthyForge, 'POST /api/v1/repos/owner/NAME/keys': [500] }],
    ] as const) {
      const { context, asked } = await serve(answers);
      await runCheck(named(forgejoChecks, name), context);
      expect(asked.at(-1)?.method).toBe('DELETE');
    }
    expect(readdirSync(folder).sort()).toEqual(['repository', 'ssh']);
  });
});
