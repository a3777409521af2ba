import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { SovereignError } from '@sovereign/report';
import { execa } from 'execa';
import { z } from 'zod';
import { resticFailed } from './restic-errors.ts';

/** Where a repository is and what opens it; both by file, since an address may hold a password too. */
export interface Repository {
  /** Path of restic. */
  program: string;
  /** For messages: the address without what is secret in it. */
  name: string;
  repositoryFile: string;
  passwordFile: string;
  cacheFolder: string;
}

/** One backup as restic lists it. */
export interface Snapshot {
  id: string;
  /** ISO 8601. */
  time: string;
  /** The id of the device that it is of. */
  device: string;
  /** Path of its one file. */
  path: string;
  /** Tags of the form `KEY=VALUE`. */
  about: Record<string, string>;
  /** Size of the stream, where restic knows it. */
  bytes: number | undefined;
}

/** Arguments of every command. Pure. */
export const resticArgs = (repository: Repository, verb: string, args: readonly string[]): string[] => [
  ...['--repository-file', repository.repositoryFile],
  ...['--password-file', repository.passwordFile],
  ...['--cache-dir', repository.cacheFolder],
  ...['--json', '--quiet'],
  verb,
  ...args,
];

/** What a target needs (AWS_…, B2_…, RESTIC_REST_…) is the owner's to set; which repository is meant is ours alone. */
export function resticEnvironment(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const ours = /^RESTIC_(REPOSITORY|PASSWORD|KEY_HINT|HOST|CACHE_DIR|FROM_)/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !ours.test(name)));
}

async function run(
  repository: Repository,
  verb: string,
  args: readonly string[],
  signal?: AbortSignal,
  reason?: () => Promise<string>,
): Promise<string> {
  const { failed, exitCode, stdout, stderr } = await execa(
    repository.program,
    resticArgs(repository, verb, args),
    {
      env: resticEnvironment(),
      extendEnv: false,
      stdin: 'ignore',
      reject: false,
      ...(signal === undefined ? {} : { cancelSignal: signal }),
    },
  );
  signal?.throwIfAborted();
  if (failed) {
    throw resticFailed(repository.name, verb, exitCode, `${stdout}\n${stderr}`, await reason?.());
  }
  return stdout;
}

/** Whether there is a repository, and our password opens it. */
export async function hasRepository(repository: Repository): Promise<boolean> {
  try {
    await run(repository, 'cat', ['config']);
    return true;
  } catch (error) {
    if (error instanceof SovereignError && error.code === 'no-repository') return false;
    throw error;
  }
}

export const initRepository = async (repository: Repository): Promise<void> => {
  await run(repository, 'init', []);
};

const summarySchema = z.object({
  message_type: z.literal('summary'),
  snapshot_id: z.string(),
  total_bytes_processed: z.number(),
  data_added_packed: z.number().default(0),
});

export interface NewSnapshot {
  id: string;
  /** Size of the stream, and what it added to the repository, in bytes. */
  bytes: number;
  added: number;
}

/**
 * Keeps what a command prints as one file of a new snapshot; a command that fails leaves none. Its output goes to restic
 * alone, so that nothing between them can take a cut for the end. What it says on standard error goes to a file: restic
 * passes it on as well, but for what comes at the command's end, which it may lose.
 */
export async function backupCommand(
  repository: Repository,
  snapshot: Pick<Snapshot, 'device' | 'path' | 'about'>,
  command: readonly string[],
  signal?: AbortSignal,
): Promise<NewSnapshot> {
  const folder = await mkdtemp(join(tmpdir(), 'sovereign-backup-'));
  const said = join(folder, 'said');
  const args = [
    '--stdin-from-command',
    ...['--stdin-filename', snapshot.path.slice(1)],
    ...['--host', snapshot.device],
    ...Object.entries(snapshot.about).flatMap(([key, value]) => ['--tag', `${key}=${value}`]),
    ...['--', 'sh', '-c', 'exec "$@" 2>"$0"', said],
    ...command,
  ];
  try {
    const text = await run(repository, 'backup', args, signal, () => readFile(said, 'utf8').catch(() => ''));
    for (const line of text.split('\n')) {
      const parsed = summarySchema.safeParse(tryJson(line));
      if (!parsed.success) continue;
      const { snapshot_id: id, total_bytes_processed: bytes, data_added_packed: added } = parsed.data;
      return { id, bytes, added };
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  throw resticFailed(repository.name, 'backup', 0, 'it told of no snapshot');
}

const snapshotsSchema = z.array(
  z.object({
    id: z.string(),
    time: z.string(),
    hostname: z.string(),
    paths: z.array(z.string()),
    tags: z.array(z.string()).default([]),
    summary: z.object({ total_bytes_processed: z.number() }).optional(),
  }),
);

/** Every snapshot that fits, the newest last. */
export async function listSnapshots(
  repository: Repository,
  filter: { device?: string; path?: string } = {},
): Promise<Snapshot[]> {
  const args = [
    ...(filter.device === undefined ? [] : ['--host', filter.device]),
    ...(filter.path === undefined ? [] : ['--path', filter.path]),
  ];
  const found = snapshotsSchema.parse(tryJson(await run(repository, 'snapshots', args)) ?? []);
  return found
    .map(({ id, time, hostname, paths, tags, summary }) => ({
      id,
      time: new Date(time).toISOString(),
      device: hostname,
      path: paths[0] ?? '',
      about: Object.fromEntries(
        tags.map((tag) => [tag.split('=', 1)[0] ?? tag, tag.slice(tag.indexOf('=') + 1)]),
      ),
      bytes: summary?.total_bytes_processed,
    }))
    .sort((a, b) => a.time.localeCompare(b.time));
}

/**
 * Removes snapshots that are too many; the newest one stays.
 * @param options.prune also what only they needed, which takes a while
 */
export const forget = async (
  repository: Repository,
  { device, path }: Pick<Snapshot, 'device' | 'path'>,
  {
    keep,
    prune = true,
    signal,
  }: {
    keep?: { daily: number; weekly: number; monthly: number };
    prune?: boolean;
    signal?: AbortSignal | undefined;
  },
): Promise<void> => {
  const args = [
    ...['--host', device],
    ...['--path', path],
    ...['--group-by', 'host,paths'],
    ...['--keep-last', '1'],
    ...Object.entries(keep ?? {}).flatMap(([span, count]) => [`--keep-${span}`, String(count)]),
    ...(prune ? ['--prune'] : []),
  ];
  await run(repository, 'forget', args, signal);
};

/** @throws SovereignError `damaged-repository` */
export const checkRepository = async (repository: Repository, signal?: AbortSignal): Promise<void> => {
  await run(repository, 'check', [], signal);
};

/** The file of a snapshot as a stream, and whether all of it came. */
export function dumpSnapshot(
  repository: Repository,
  { id, path }: Pick<Snapshot, 'id' | 'path'>,
  signal?: AbortSignal,
): { stream: Readable; whole: Promise<void> } {
  const child = execa(repository.program, resticArgs(repository, 'dump', [id, path]), {
    env: resticEnvironment(),
    extendEnv: false,
    stdin: 'ignore',
    reject: false,
    encoding: 'buffer',
    buffer: { stdout: false, stderr: true },
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  const whole = child.then(({ failed, exitCode, stderr }) => {
    signal?.throwIfAborted();
    if (failed) throw resticFailed(repository.name, 'dump', exitCode, Buffer.from(stderr).toString());
  });
  // Whoever reads the stream may end before this is looked at.
  whole.catch(() => undefined);
  return { stream: child.stdout, whole };
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
