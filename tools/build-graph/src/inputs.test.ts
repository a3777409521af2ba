import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { workspaceRoot } from '@sovereign/store';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Inspection } from './graph.ts';
import { kindOf, kinds } from './table.ts';

const root = workspaceRoot();
const main = join(import.meta.dirname, 'main.ts');

/** A test is often a task itself, whose variables would make Nx look elsewhere. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('NX_')));
const ask = (folder: string) =>
  JSON.parse(
    execFileSync(process.execPath, [main], {
      cwd: folder,
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
      timeout: 240_000,
      // The base that every service has: elsewhere one may have no image.
      env: { ...env, NX_DAEMON: 'false', SOVEREIGN_BASE: 'alpine' },
    }),
  ) as Inspection;
const { graph, inputs } = ask(root);

const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
  .split('\0')
  .filter((file) => file !== '' && existsSync(join(root, file)));

interface Package {
  name: string;
  exports?: string | Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  nx?: { implicitDependencies?: string[] };
}
/** Packages of the workspace by their folder. */
const packages = new Map(
  files
    .filter((file) => /^[\w-]+\/[\w-]+\/package\.json$/.test(file))
    .map((file) => [dirname(file), JSON.parse(readFileSync(join(root, file), 'utf8')) as Package]),
);
/** As Nx calls them: by the name in project.json where there is one. */
const projectOf = (folder: string): string => {
  const path = join(root, folder, 'project.json');
  const { name } = (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {}) as { name?: string };
  return name ?? packages.get(folder)?.name ?? folder;
};

/** What is imported by the sources of a folder, types and tests included: folders of the workspace. */
function importsOf(folder: string): Set<string> {
  const sources = files.filter((file) => file.startsWith(`${folder}/`) && file.endsWith('.ts'));
  const targets = sources.flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(/\b(?:from|import\()\s*'([^']+)'/g)].map(
      ([, name = '']) => resolve(name, file),
    ),
  );
  return new Set(targets.map((target) => target?.split('/').slice(0, 2).join('/') ?? folder));
}

/** What every folder needs: what its package.json says, and what its sources import. */
const needs = new Map(
  [...packages].map(([folder, { dependencies, devDependencies, nx }]) => {
    const named = new Set(Object.keys({ ...dependencies, ...devDependencies }));
    const told = nx?.implicitDependencies ?? [];
    const folders = [...packages]
      .filter(([other, { name }]) => named.has(name) || told.includes(projectOf(other)))
      .map(([other]) => other);
    return [folder, new Set([...folders, ...importsOf(folder)])] as const;
  }),
);

/** The folder's own project, and every one that needs it, directly or not. */
function usersOf(folder: string): Set<string> {
  const users = new Set([folder]);
  for (let before = 0; before !== users.size;) {
    before = users.size;
    for (const [other, needed] of needs)
      if ([...needed].some((folder) => users.has(folder))) users.add(other);
  }
  return new Set([...users].map(projectOf));
}

const tasks = Object.keys(inputs).sort();
const isBuild = (task: string) => /:(build|config)$/.test(task);
const projectOfTask = (task: string) => task.slice(0, task.lastIndexOf(':'));
const readBy = new Map<string, Set<string>>();
for (const [task, { files: read }] of Object.entries(inputs)) {
  for (const file of read) readBy.set(file, (readBy.get(file) ?? new Set()).add(task));
}

/** What is wrong with what an edit of this file reaches. */
function faultsOf(file: string): string[] {
  const kind = kindOf(file);
  if (kind === undefined) return [`${file}: no kind of table.ts fits`];
  const reached = readBy.get(file) ?? new Set<string>();
  const builds = new Set(kind.builds === 'all' ? tasks.filter(isBuild) : kind.builds);
  const folder = file.split('/').slice(0, 2).join('/');
  const own = kind.checks === 'own' ? new Set([projectOf(folder)]) : usersOf(folder);
  const checks = tasks.filter((task) => !isBuild(task));
  const { checks: wanted } = kind;
  const must =
    wanted === 'none'
      ? []
      : wanted === 'all'
        ? checks
        : wanted instanceof RegExp
          ? checks.filter((task) => wanted.test(task))
          : // Types are checked against what a project gives to others, and `test` may read less than all.
            checks.filter((task) => task.endsWith(':lint') && own.has(projectOfTask(task)));
  const may = (task: string) =>
    must.includes(task) ||
    ((wanted === 'own' || wanted === 'users') && own.has(projectOfTask(task))) ||
    kind.also?.test(task) === true ||
    // It uses all of a clone but the other services.
    (task === 'clean-clone:test' && !/^packages\/rootfs-(?!sql)/.test(file));
  return [
    ...tasks
      .filter((task) => isBuild(task) && builds.has(task) && !reached.has(task))
      .map((task) => `${file}: ${task} would be stale`),
    ...must.filter((task) => !reached.has(task)).map((task) => `${file}: ${task} would be stale`),
    ...[...reached]
      .filter((task) => (isBuild(task) ? !builds.has(task) : !may(task)))
      .map((task) => `${file}: ${task} would run for nothing`),
  ];
}

test('an edit of any file reaches the tasks of the table, and no others', () => {
  expect(files.flatMap(faultsOf)).toEqual([]);
});

test('every kind of the table is there', () => {
  const found = new Set(files.map(kindOf));
  expect(kinds.filter((kind) => !found.has(kind)).map(({ what }) => what)).toEqual([]);
});

/** Every source that runs when this one does; types alone do not. */
function closure(starts: readonly string[]): Set<string> {
  const seen = new Set<string>();
  const todo = [...starts];
  for (let file = todo.pop(); file !== undefined; file = todo.pop()) {
    if (seen.has(file) || !existsSync(join(root, file))) continue;
    seen.add(file);
    if (!file.endsWith('.ts')) continue;
    const text = readFileSync(join(root, file), 'utf8');
    const found = text.matchAll(
      /^(?:import|export)\s(?!type\b)[^'";`]*?from\s*'([^']+)'|\bimport\('([^']+)'\)|^import '([^']+)'/gm,
    );
    for (const [, first, second, third] of found) {
      const target = resolve(first ?? second ?? third ?? '', file);
      if (target !== undefined) todo.push(target);
    }
  }
  return seen;
}

function resolve(name: string, from: string): string | undefined {
  if (name.startsWith('.')) return relative(root, join(root, dirname(from), name));
  for (const [folder, { name: own, exports }] of packages) {
    if (name !== own && !name.startsWith(`${own}/`)) continue;
    const target = typeof exports === 'string' ? exports : exports?.[`.${name.slice(own.length)}`];
    if (target !== undefined) return join(folder, target);
  }
  return undefined;
}

describe('every source that a task runs is among its inputs', () => {
  const { executors } = JSON.parse(readFileSync(join(root, 'tools/executors/executors.json'), 'utf8')) as {
    executors: Record<string, { implementation: string }>;
  };
  const made = kinds.flatMap(({ what, builds }) => {
    const name = /^the executor ([\w-]+)$/.exec(what)?.[1];
    const path = executors[name ?? '']?.implementation;
    return path === undefined || builds === 'all'
      ? []
      : builds.map((task) => [task, join('tools/executors', path)] as const);
  });
  test.each(made)('%s', (task, start) => {
    expect([...closure([start])].filter((file) => inputs[task]?.files.includes(file) !== true)).toEqual([]);
  });

  test.each([...packages.keys()].filter((folder) => tasks.includes(`${projectOf(folder)}:test`)))(
    'the tests of %s',
    (folder) => {
      const task = `${projectOf(folder)}:test`;
      const starts = files.filter((file) => file.startsWith(`${folder}/`) && file.endsWith('.test.ts'));
      const missing = [...closure(starts)].filter((file) => inputs[task]?.files.includes(file) !== true);
      expect(missing).toEqual([]);
    },
  );
});

test('a test that does more in a long run has the variable that says so among its inputs', () => {
  const long = files.filter(
    (file) => file.endsWith('.test.ts') && readFileSync(join(root, file), 'utf8').includes('SOVEREIGN_LONG'),
  );
  const missing = long
    .map((file) => `${projectOf(file.split('/').slice(0, 2).join('/'))}:test`)
    // This one is never cached.
    .filter((task) => task !== 'build-graph:test')
    .filter((task) => inputs[task]?.environment.includes('SOVEREIGN_LONG') !== true);
  expect(long).not.toEqual([]);
  expect(missing).toEqual([]);
});

/** The repository without what was built in it, in a folder of its own. */
function makeCopy(): string {
  const copy = mkdtempSync(join(tmpdir(), 'sovereign-inputs-'));
  for (const file of files) cpSync(join(root, file), join(copy, file), { verbatimSymlinks: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

describe('what a build makes', () => {
  const takersOf = (maker: string) =>
    tasks.filter((task) => graph.dependencies[task]?.includes(maker) === true);
  const makers = tasks.filter((task) => isBuild(task) && takersOf(task).length > 0);

  let copy: string;
  let before: Record<string, string>;
  const write = (maker: string, content: string) => {
    for (const path of graph.tasks[maker]?.outputs ?? []) {
      mkdirSync(join(copy, dirname(path)), { recursive: true });
      writeFileSync(join(copy, path), content);
    }
  };
  beforeAll(() => {
    copy = makeCopy();
    for (const maker of makers) write(maker, 'before');
    before = ask(copy).hashes;
  }, 120_000);
  afterAll(() => rmSync(copy, { recursive: true, force: true }));

  test.each(makers)('decides the hashes of the tasks that wait for it: %s', { timeout: 120_000 }, (maker) => {
    write(maker, 'something else');
    const after = ask(copy).hashes;
    expect(takersOf(maker).filter((task) => after[task] === before[task])).toEqual([]);
    before = after;
  });
});

// The table by the hashes that Nx takes, with real edits in a copy: one file of each kind.
describe.runIf(process.env.SOVEREIGN_LONG === '1')('a real edit', () => {
  let copy: string;
  let before: Record<string, string>;

  beforeAll(() => {
    copy = makeCopy();
    before = ask(copy).hashes;
  }, 300_000);
  afterAll(() => rmSync(copy, { recursive: true, force: true }));

  test.each(kinds.map((kind) => [kind.what, files.find((file) => kindOf(file) === kind) ?? ''] as const))(
    'of %s (%s) changes the hashes of the tasks that read it, and no others',
    { timeout: 300_000 },
    (_, file) => {
      const path = join(copy, file);
      const content = readFileSync(path);
      try {
        writeFileSync(path, Buffer.concat([content, Buffer.from('\n')]));
        const after = ask(copy).hashes;
        const changed = Object.keys(before).filter((task) => before[task] !== after[task]);
        expect(changed.sort()).toEqual([...(readBy.get(file) ?? [])].sort());
      } finally {
        writeFileSync(path, content);
      }
    },
  );

  /** What Nx says that it did with the task. */
  const run = (task: string) => {
    const nx = join(copy, 'node_modules/nx/dist/bin/nx.js');
    const told = execFileSync(process.execPath, [nx, 'run', task, '--outputStyle=static'], {
      cwd: copy,
      encoding: 'utf8',
      timeout: 240_000,
      env: { ...env, NX_DAEMON: 'false', NX_TUI: 'false', SOVEREIGN_CACHE_SERVER: '', NO_COLOR: '1' },
    });
    return told.includes('read the output from the cache') ? 'cached' : 'ran';
  };

  test('is followed by a run of the tasks whose hash changes, and no others', { timeout: 900_000 }, () => {
    const task = 'device-agent:build';
    expect([run(task), run(task)]).toEqual(['ran', 'cached']);
    const reaching = ['packages/device-agent/src/launch.sh', 'libs/report/src/error.ts'];
    const others = ['README.md', 'packages/cli/src/main.ts', 'packages/kernel/source.lock.json'];
    for (const file of [...reaching, ...others]) {
      const path = join(copy, file);
      const content = readFileSync(path);
      expect(readBy.get(file)?.has(task) ?? false).toBe(reaching.includes(file));
      writeFileSync(path, Buffer.concat([content, Buffer.from('\n')]));
      expect([file, run(task)]).toEqual([file, reaching.includes(file) ? 'ran' : 'cached']);
      writeFileSync(path, content);
      expect([file, run(task)]).toEqual([file, 'cached']);
    }
  });
});
