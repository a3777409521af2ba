import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { endGroup, shells, StandInGuest } from './testing/scripts.ts';

// Processes are started and waited for, on a machine that may have other work.
vi.setConfig({ testTimeout: 120_000 });

/** The backups of services that keep files and SQLite: with real SQLite, Git and tar, and no machine. */
const packages = join(import.meta.dirname, '..');
const program = (project: string): string => join(packages, project, 'overlay/usr/lib/sovereign/backup');

const run = (command: string, ...args: string[]): string => {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
};

interface Machine {
  made: StandInGuest;
  /** A path below the data disk. */
  data: (path: string) => string;
  sql: (statements: string) => string;
  backup: (words: string[], input?: string) => ReturnType<StandInGuest['call']>;
  calls: () => string[];
}

/** A guest whose database is at this place; it has no accounts and no OpenRC, which are stand-ins. */
function machine(shell: readonly string[], name: string, database: string): Machine {
  const made = new StandInGuest(shell);
  onTestFinished(() => made.remove());
  const conf = [
    `name ${name}`,
    'base alpine',
    `data-kind ${name}`,
    'data-major 1',
    'data-collation none',
    'data-bases alpine',
  ];
  made.write('service.conf', `${conf.join('\n')}\n`);
  for (const stub of ['rc-service', 'chown'])
    made.program(stub, `echo "${stub} $*" >>'${made.path('calls')}'`);
  const data = (path: string) => made.path(join('data', path));
  mkdirSync(join(data(name), database, '..'), { recursive: true });
  const sql = (statements: string) => run('sqlite3', join(data(name), database), statements);
  sql(`PRAGMA journal_mode=WAL; CREATE TABLE users (name TEXT); CREATE TABLE "odd ""name'" (x);
    INSERT INTO users VALUES ('owner'), ('guest');`);
  return {
    made,
    data,
    sql,
    backup: (words, input = '') =>
      made.call(program(`rootfs-${name}`), words, Buffer.from(input, 'latin1'), 'latin1'),
    calls: () => made.read('calls').trim().split('\n'),
  };
}

const lines = (text: string, word: string): string[] =>
  text.split('\n').filter((line) => line.startsWith(`${word} `));

describe.each(shells)('Vaultwarden’s, under %s', (_name, shell) => {
  const vault = () => {
    const made = machine(shell, 'vaultwarden', 'db.sqlite3');
    const home = made.data('vaultwarden');
    mkdirSync(join(home, 'attachments/a b'), { recursive: true });
    mkdirSync(join(home, 'icon_cache'));
    writeFileSync(join(home, 'attachments/a b/one'), 'an attachment\n'.repeat(2000), { mode: 0o600 });
    writeFileSync(join(home, 'rsa_key.pem'), 'a key\n');
    writeFileSync(join(home, 'icon_cache/icon'), 'an icon\n');
    return { ...made, home };
  };

  test('holds database and files, and puts both back into a service without data', () => {
    const { made, home, backup, sql, calls, data } = vault();
    const { stdout, stderr, status } = backup(['create', 'device=abc']);
    expect([status, stderr]).toEqual([0, '']);
    expect(lines(stdout, 'about')).toEqual(
      expect.arrayContaining(['about device abc', 'about database sqlite']),
    );
    const counts = ['count 0 odd "name\'', 'count 2 users', 'count 2 files'];
    expect(lines(stdout, 'count')).toEqual(counts);
    expect(lines(backup(['count']).stdout, 'count')).toEqual(counts);
    expect(stdout.endsWith('\nend\n')).toBe(true);
    expect(stdout).not.toContain('an icon');
    // Nothing of it stays on the data disk.
    expect(readdirSync(made.path('data'))).toEqual(['vaultwarden']);

    sql("INSERT INTO users VALUES ('later')");
    rmSync(join(home, 'attachments'), { recursive: true });
    expect(backup(['restore'], stdout)).toMatchObject({ status: 0, stderr: '' });
    expect(sql('SELECT group_concat(name) FROM users')).toBe('owner,guest');
    expect(readFileSync(join(home, 'attachments/a b/one'), 'utf8')).toBe('an attachment\n'.repeat(2000));
    expect(run('stat', '-c', '%a', join(home, 'attachments/a b/one'))).toBe('600');
    expect(calls().map((line) => line.replace(made.folder, ''))).toEqual([
      expect.stringMatching(/^chown -R vaultwarden:vaultwarden \/data\/backup\.\d+\/files$/),
      'rc-service vaultwarden stop',
      'rc-service vaultwarden start',
    ]);
    expect(existsSync(made.path('restoring'))).toBe(false);
    expect(readdirSync(data(''))).toEqual(['vaultwarden']);
    // What was brought, whatever the program has done with it since; then what is there.
    sql('CREATE TABLE of_a_newer_version (x)');
    expect(lines(backup(['count']).stdout, 'count')).toEqual(counts);
    expect(backup(['count']).stdout).toContain('count 0 of_a_newer_version\n');
  });

  test('is of one moment while somebody writes', () => {
    const { made, backup, home } = vault();
    const loop = `while :; do echo "BEGIN; INSERT INTO users VALUES ('x'); INSERT INTO \\"odd \\"\\"name'\\" VALUES (1); COMMIT;" | sqlite3 -cmd '.timeout 5000' '${home}/db.sqlite3'; done`;
    const writer = spawn('sh', ['-c', loop], { stdio: 'ignore', detached: true });
    try {
      for (let round = 0; round < 3; round++) {
        const { status, stdout } = backup(['create']);
        expect(status).toBe(0);
        const [odd = 0, users = 0] = lines(stdout, 'count').map((line) => Number(line.split(' ')[1]));
        // Both rows of a transaction, or none.
        expect(users - odd).toBe(2);
      }
    } finally {
      // With the sqlite3 that it waits for.
      endGroup(writer);
    }
    expect(made.run('ls "$SOVEREIGN_DATA"').stdout).toBe('vaultwarden\n');
  });

  test('is made where the log of the database goes while it is measured', () => {
    const { made, backup, home } = vault();
    writeFileSync(join(home, 'db.sqlite3-wal'), '');
    const goes = `case "$*" in *-wal) rm -f '${home}/db.sqlite3-wal' ;; esac; exec /usr/bin/stat "$@"`;
    made.program('stat', goes);
    expect(backup(['create'])).toMatchObject({ status: 0, stderr: '' });
  });

  test('that is cut, damaged, or of another place for the database is not taken: nothing of the service is touched', () => {
    const { made, backup, sql, calls } = vault();
    const { stdout } = backup(['create']);
    sql("INSERT INTO users VALUES ('later')");
    const bytes = Buffer.from(stdout, 'latin1');
    const cuts = [0, 0.2, 0.5, 0.9].map((part) =>
      bytes.subarray(0, Math.floor(bytes.length * part)).toString('latin1'),
    );
    for (const stream of [
      ...cuts,
      stdout.replace(/\nend\n$/, '\n'),
      stdout.replace('SQLite format 3', 'SQLite format 9'),
    ]) {
      const { status, stderr } = backup(['restore'], stream);
      expect(status).toBe(1);
      expect(stderr).toMatch(/^sovereign: /m);
      expect(existsSync(made.path('restoring'))).toBe(true);
    }
    made.write('config/guest.conf', 'hostname vault\nsetting database sql\n');
    expect(backup(['restore'], stdout).stderr).toMatch(/the setting database is sql here/);
    const without = backup(['create']).stdout;
    expect(lines(without, 'count')).toEqual(['count 2 files']);
    expect(without).toContain('about database sql\n');
    made.write('config/guest.conf', 'hostname vault\n');
    expect(backup(['restore'], without).stderr).toMatch(/it was made with the setting database=sql/);
    expect(calls()).toEqual(['']);
    expect(sql('SELECT count(*) FROM users')).toBe('3');
  });

  test('is not made where its copy of the database would fill the disk', () => {
    const { made, backup } = vault();
    made.program('stat', `case "$1" in -f) echo '10 1048576' ;; *) exec /usr/bin/stat "$@" ;; esac`);
    const { status, stderr } = backup(['create']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/the data disk has 10 MiB free, a copy of the database needs 3[3-5]/);
  });
});

describe.each(shells)('Forgejo’s, under %s', (name, shell) => {
  const forge = () => {
    const made = machine(shell, 'forgejo', 'data/forgejo.db');
    const home = made.data('forgejo');
    mkdirSync(join(home, 'data/queues'), { recursive: true });
    mkdirSync(join(home, 'keys'));
    writeFileSync(join(home, 'keys/secret-key'), 'a key\n', { mode: 0o600 });
    writeFileSync(join(home, 'data/queues/common'), 'a queue\n');
    const repository = join(home, 'data/forgejo-repositories/owner/code.git');
    run('git', 'init', '-q', '--bare', '--initial-branch=main', repository);
    return { ...made, home, repository };
  };
  /** A commit without parents on a branch, straight into a bare repository. */
  const commit = (repository: string): string => {
    const git = (...words: string[]) =>
      run('git', '-c', 'user.name=a', '-c', 'user.email=a@b.c', '--git-dir', repository, ...words);
    const id = git('commit-tree', '-m', 'a commit', git('write-tree'));
    git('update-ref', 'refs/heads/main', id);
    return id;
  };
  /** A supervisor with one child that runs this script, as supervise-daemon has Forgejo; the child is there. */
  const runs = async (made: StandInGuest, script: string) => {
    const supervisor = spawn('sh', ['-c', `sh -c '${script}' & wait`], { stdio: 'ignore', detached: true });
    made.write('pid', `${supervisor.pid}\n`);
    onTestFinished(() => endGroup(supervisor));
    await expect.poll(() => made.run('ps -o pid= --ppid "$(cat "$RUN/pid")"').stdout).not.toBe('');
  };

  test('holds keys, repositories and database, without what is made anew', async () => {
    const { made, home, backup, repository, sql } = forge();
    const id = commit(repository);
    await runs(made, 'while :; do sleep 1; done');
    const { stdout, stderr, status } = backup(['create']);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).not.toContain('a queue');
    expect(lines(stdout, 'count').slice(0, 2)).toEqual(['count 0 odd "name\'', 'count 2 users']);
    rmSync(home, { recursive: true });
    expect(backup(['restore'], stdout)).toMatchObject({ status: 0, stderr: '' });
    expect(run('git', '--git-dir', repository, 'rev-parse', 'main')).toBe(id);
    run('git', '--git-dir', repository, 'fsck', '--strict');
    expect(sql('SELECT count(*) FROM users')).toBe('2');
    expect(readFileSync(join(home, 'keys/secret-key'), 'utf8')).toBe('a key\n');
    expect(run('stat', '-c', '%a', join(home, 'keys/secret-key'))).toBe('600');
  });

  test('has repositories and database of one moment, and lets the program go on', async () => {
    const { made, backup, home } = forge();
    // A file, then its row: never one of them alone where nobody stands still.
    const step =
      'n=0; while :; do n=$((n + 1)); echo $n >$1/count.new; mv $1/count.new $1/count; echo "INSERT INTO users VALUES ($n);" | sqlite3 $1/data/forgejo.db; done';
    made.write('writer', step);
    await runs(made, `exec sh ${made.path('writer')} ${home}`);
    await expect.poll(() => existsSync(join(home, 'count')), { timeout: 20_000 }).toBe(true);
    const { stdout, status } = backup(['create']);
    expect(status).toBe(0);
    const before = readFileSync(join(home, 'count'), 'utf8');
    await expect.poll(() => readFileSync(join(home, 'count'), 'utf8'), { timeout: 20_000 }).not.toBe(before);
    const copy = forge();
    expect(copy.backup(['restore'], stdout).status).toBe(0);
    const file = Number(readFileSync(join(copy.home, 'count'), 'utf8'));
    expect([file, file - 1]).toContain(Number(copy.sql('SELECT count(*) - 2 FROM users')));
  });

  // It waits its time: once is enough.
  test.runIf(name === 'dash')(
    'waits for a push to be received, and says so where that never ends',
    async () => {
      const { made, backup } = forge();
      await runs(made, 'exec sh -c "while :; do sleep 1; done" git-receive-pack');
      const { status, stderr } = backup(['create']);
      expect(status).toBe(1);
      expect(stderr).toMatch(/no snapshot could be taken: pushes are being received/);
      // It goes on: nothing is left standing still.
      expect(made.run('ps -o stat= --ppid "$(cat "$RUN/pid")"').stdout).not.toMatch(/^T/m);
    },
  );

  test('is not made of a program that does not run', () => {
    const { backup } = forge();
    expect(backup(['create']).stderr).toMatch(/Forgejo does not run/);
  });
});
