import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { countTests, RESULTS } from '../test-results.ts';
import { findWaits, slowest, summarize } from './selftest.ts';

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'reports-'));
});
afterEach(() => rm(scratch, { recursive: true }));

const task = (taskId: string, status: number) => {
  const [projectName = '', target = ''] = taskId.split(':');
  return { taskId, projectName, target, status, hash: '1' };
};

describe('the last line counts', () => {
  it('tests, and what failed without one', () => {
    const counts = { passed: 10, failed: 0, skipped: 1, failedIn: [] };
    expect(summarize(counts, [task('a:test', 0), task('a:lint', 0)], [])).toEqual({
      passed: 10,
      failed: 0,
      broken: [],
    });
    expect(summarize(counts, [task('a:test', 0), task('a:lint', 1)], ['x.ts'])).toEqual({
      passed: 10,
      failed: 2,
      broken: ['a:lint', 'format of x.ts'],
    });
  });

  it('a failed test once, though its task failed with it', () => {
    const { failed } = summarize(
      { passed: 1, failed: 2, skipped: 0, failedIn: ['a'] },
      [task('a:test', 1), task('b:typecheck', 1)],
      [],
    );
    expect(failed).toBe(3);
  });

  it('a test task that could not start', () => {
    const counts = { passed: 1, failed: 0, skipped: 0, failedIn: [] };
    expect(summarize(counts, [task('a:test', 1)], []).failed).toBe(1);
    // Whatever failed elsewhere.
    const elsewhere = { ...counts, failed: 1, failedIn: ['b'] };
    expect(summarize(elsewhere, [task('@x/b:test', 1), task('a:test', 1)], []).failed).toBe(2);
  });
});

describe('reports', () => {
  it('are summed over projects, failures by name; a file that could not be loaded is one', async () => {
    const result = (status: string, fullName: string) => ({
      status,
      fullName,
      failureMessages:
        status === 'failed' ? ['Error: it broke\n    at here (/x/a.ts:1:1)\n    at /x/b.test.ts:33:12'] : [],
    });
    const report = (passed: number, failed: number, broken: number) => ({
      numPassedTests: passed,
      numFailedTests: failed,
      numPendingTests: 1,
      numTodoTests: 0,
      testResults: [
        {
          assertionResults: [
            result('passed', 'good'),
            ...Array.from({ length: failed }, () => result('failed', 'a promise')),
          ],
        },
        ...Array.from({ length: broken }, () => ({
          name: '/somewhere/a.test.ts',
          status: 'failed',
          message: 'no such import',
          assertionResults: [],
        })),
      ],
    });
    const folders = ['a', 'b', 'none'].map((name) => join(scratch, name));
    for (const [index, content] of [report(3, 0, 0), report(4, 1, 1)].entries()) {
      const file = join(folders[index] ?? '', RESULTS);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, JSON.stringify(content));
    }
    expect(await countTests(folders)).toEqual({
      passed: 7,
      failed: 2,
      skipped: 2,
      failures: ['b: a.test.ts: no such import', 'b: a promise: Error: it broke (b.test.ts:33)'],
      failedIn: ['b'],
    });
  });
});

it('waits are found in what the tests printed, slowest first', () => {
  const output = `x\nwait for sql to be healthy …\nwait for sql to be healthy: done 8.2 s\nbuilding: done 20 s
wait for the kernel to stop: done 11.0 s (clean)\n`;
  expect(findWaits(output)).toEqual([
    { name: 'wait for the kernel to stop', seconds: 11 },
    { name: 'wait for sql to be healthy', seconds: 8.2 },
  ]);
});

it('equal waits are one line, with the slowest of them', () => {
  expect(
    slowest([
      { name: 'wait for sql', seconds: 9 },
      { name: 'wait for the phone', seconds: 5 },
      { name: 'wait for sql', seconds: 4 },
    ]),
  ).toEqual([
    { name: 'wait for sql', seconds: 9, times: 2 },
    { name: 'wait for the phone', seconds: 5, times: 1 },
  ]);
});
