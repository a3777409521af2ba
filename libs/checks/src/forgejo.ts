import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { fail, pass, type Check, type CheckContext, type Outcome } from './contract.ts';

/** Time for one answer, in milliseconds. */
const TIMEOUT = 20_000;

/** The first administrator, as the settings and secrets have it. */
interface Owner {
  name: string;
  password: string;
}

/** A repository of the check alone, with one commit in it. */
interface Repository {
  /** OWNER/NAME */
  path: string;
  owner: Owner;
  /** A folder of this check on the workstation. */
  folder: string;
}

/** While its password is being changed there are two: the one that is taken. */
async function ownerOf(context: CheckContext): Promise<Owner> {
  const name = await context.setting('admin');
  const candidates = await context.secrets('admin-password');
  for (const password of candidates.slice(0, -1)) {
    if ((await api(context, { name, password }, 'GET', 'user')).ok) return { name, password };
  }
  return { name, password: candidates.at(-1) ?? '' };
}

/** One request of Forgejo's API (its documentation, "API usage"), as the first administrator. */
async function api(
  { endpoint }: CheckContext,
  { name, password }: Owner,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: Record<string, unknown>,
): Promise<Response> {
  const credentials = Buffer.from(`${name}:${password}`).toString('base64');
  return fetch(new URL(`api/v1/${path}`, await endpoint('web')), {
    method,
    headers: { authorization: `Basic ${credentials}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(TIMEOUT),
  });
}

async function make(context: CheckContext, owner: Owner, path: string, body: Record<string, unknown>) {
  const answer = await api(context, owner, 'POST', path, body);
  if (answer.status !== 201) throw new Error(`POST ${path} answers with status ${answer.status}, not 201`);
}

const admin: Check = {
  name: 'forge.admin',
  async run(context) {
    const owner = await ownerOf(context);
    const answer = await api(context, owner, 'GET', 'user');
    if (!answer.ok) {
      const why = answer.status === 401 ? '; it has another password by now, or a second factor' : '';
      return fail(`${owner.name} is not let in: status ${answer.status}${why}`);
    }
    const who = (await answer.json()) as { login?: unknown; is_admin?: unknown };
    return who.login === owner.name && who.is_admin === true
      ? pass(`${owner.name} is let in, and is its administrator`)
      : fail(`who was let in is ${JSON.stringify(who.login)}, administrator: ${String(who.is_admin)}`);
  },
};

const overHttp: Check = {
  name: 'git.http',
  run: (context) =>
    withRepository(context, async ({ path, owner, folder }) => {
      const url = new URL(`${path}.git`, await context.endpoint('web'));
      url.username = owner.name;
      // A file and no variable: those of a process are shown by /proc.
      await writeFile(join(folder, 'password'), `${owner.password}\n`, { mode: 0o600 });
      await writeFile(join(folder, 'askpass'), '#!/bin/sh\ncat "${0%/*}/password"\n', { mode: 0o700 });
      return listed(url, folder, { GIT_ASKPASS: join(folder, 'askpass') });
    }),
};

const overSsh: Check = {
  name: 'git.ssh',
  run: (context) =>
    withRepository(context, async ({ path, owner, folder }) => {
      const key = join(folder, 'key');
      await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
      // It opens this repository alone, and goes with it.
      const made = { title: 'sovereign test', key: await readFile(`${key}.pub`, 'utf8'), read_only: true };
      await make(context, owner, `repos/${path}/keys`, made);
      return listed(new URL(`/${path}.git`, await context.endpoint('git')), folder, {
        GIT_SSH_COMMAND:
          `ssh -F none -i '${key}' -o IdentitiesOnly=yes -o BatchMode=yes ` +
          `-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile='${join(folder, 'known-hosts')}'`,
      });
    }),
};

/** What a real git is told of the repository, with nothing of the user's own settings. */
async function listed(url: URL, folder: string, env: Record<string, string>): Promise<Outcome> {
  const words = ['-c', 'http.proxy=', '-c', 'credential.helper=', 'ls-remote', '--heads', url.href];
  const { exitCode, stdout, stderr } = await execa('git', words, {
    cwd: folder,
    env: { ...env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0' },
    reject: false,
    timeout: TIMEOUT,
    stdin: 'ignore',
  });
  if (exitCode !== 0) return fail(`git ls-remote: ${stderr.trim().split('\n').at(-1) ?? 'it failed'}`);
  return /^[0-9a-f]{40,64}\trefs\/heads\/\S+$/m.test(stdout)
    ? pass('git lists the branch of a repository')
    : fail(`git ls-remote lists no branch: ${JSON.stringify(stdout)}`);
}

/** What repositories of checks are called. */
const OURS = 'sovereign-check-';

/** So old is no repository of a check that still runs, in milliseconds. */
const LEFT = 3_600_000;

/** Removes what checks have left that were killed in the middle. */
async function removeLeft(context: CheckContext, owner: Owner): Promise<void> {
  const answer = await api(context, owner, 'GET', `repos/search?q=${OURS}&limit=50`);
  if (!answer.ok) return;
  const { data } = (await answer.json()) as { data: { full_name: string; created_at: string }[] };
  for (const { full_name: path, created_at: created } of data) {
    if (!path.startsWith(`${owner.name}/${OURS}`) || Date.now() - Date.parse(created) < LEFT) continue;
    await api(context, owner, 'DELETE', `repos/${path}`);
  }
}

/** Runs some work with a repository of its own, which is gone afterwards, however the work ends. */
async function withRepository(
  context: CheckContext,
  work: (repository: Repository) => Promise<Outcome>,
): Promise<Outcome> {
  const owner = await ownerOf(context);
  const name = `${OURS}${randomUUID()}`;
  const folder = await mkdtemp(join(tmpdir(), 'sovereign-git-'));
  try {
    await removeLeft(context, owner);
    await make(context, owner, 'user/repos', { name, private: true, auto_init: true });
    return await work({ path: `${owner.name}/${name}`, owner, folder });
  } finally {
    // Where the service is gone too, what the work failed with says more.
    await api(context, owner, 'DELETE', `repos/${owner.name}/${name}`).catch(() => undefined);
    await rm(folder, { recursive: true, force: true });
  }
}

export const forgejoChecks: readonly Check[] = [admin, overHttp, overSsh];
