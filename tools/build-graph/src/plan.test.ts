import { expect, test } from 'vitest';
import type { Inspection, PlannedTask } from './graph.ts';
import { planOf, type Results } from './plan.ts';

const task = (id: string, rest: Partial<PlannedTask> = {}): PlannedTask => {
  const [project = '', target = ''] = id.split(':');
  return { id, target: { project, target }, cache: true, outputs: [`${project}/dist/${target}`], ...rest };
};

/** `b:build` is made from what `a:config` makes. */
const inspection: Inspection = {
  graph: {
    tasks: { 'b:build': task('b:build'), 'a:config': task('a:config') },
    dependencies: { 'b:build': ['a:config'] },
  },
  inputs: {
    'a:config': {
      files: ['a/one', 'a/two', 'a/three', 'a/four'],
      environment: [],
      runtime: [],
      external: [],
    },
    'b:build': { files: ['b/in'], environment: [], runtime: [], external: [] },
  },
  hashes: { 'a:config': '1', 'b:build': '2' },
};
const plan = (results: Partial<Results>) =>
  planOf(inspection, {
    kept: () => true,
    newest: () => 1000,
    written: () => 500,
    there: () => true,
    ...results,
  });
const of = (lines: ReturnType<typeof plan>, id: string) => lines.find((line) => line.task === id);

test('what is kept is served from the cache, in an order in which it can be', () => {
  expect(plan({})).toEqual([
    { task: 'a:config', outcome: 'cached', why: '' },
    { task: 'b:build', outcome: 'cached', why: '' },
  ]);
});

test('a task runs because of the files that changed since its last result', () => {
  const changed = {
    kept: (hash: string) => hash === '1',
    written: (file: string) => (file === 'b/in' ? 2000 : 500),
  };
  expect(of(plan(changed), 'a:config')?.outcome).toBe('cached');
  expect(of(plan(changed), 'b:build')).toEqual({
    task: 'b:build',
    outcome: 'run',
    why: 'newer than its last result: b/in',
  });
});

test('many files are counted, and what comes after the task is left open', () => {
  const lines = plan({ kept: (hash) => hash === '2', written: () => 2000 });
  expect(of(lines, 'a:config')?.why).toBe('newer than its last result: a/four, a/one, a/three and 1 more');
  expect(of(lines, 'b:build')).toMatchObject({
    outcome: 'open',
    why: 'it depends on what comes out of a:config',
  });
});

test('where no file is newer, something else is', () => {
  expect(of(plan({ kept: () => false }), 'a:config')?.why).toMatch(/^a variable, a package or a setting/);
  expect(of(plan({ kept: () => false, newest: () => undefined }), 'a:config')?.why).toMatch(
    /no earlier result/,
  );
});

test('a hash that was taken without what comes before is not believed', () => {
  const lines = plan({ kept: (hash) => hash === '1', there: () => false });
  expect(of(lines, 'b:build')).toMatchObject({
    outcome: 'open',
    why: 'what a:config made is to be restored first',
  });
});
