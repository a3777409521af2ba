import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { unlessMissing } from '@sovereign/store';

/** Where the `test` of a project leaves Vitest's report, inside the project's folder (vitest.config.ts). */
export const RESULTS = 'dist/test-results.json';

export interface Counts {
  passed: number;
  failed: number;
  /** Tests that say why they were not run; they are told, never counted as passed. */
  skipped: number;
  /** One line for each failed test: project, name, the first line of what it said, and where. */
  failures: string[];
  /** Names of the folders of projects in which a test failed. */
  failedIn: string[];
}

/** Fields of Vitest's JSON reporter that are used here; it has the shape of Jest's. */
interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: {
    name: string;
    status: 'passed' | 'failed';
    message: string;
    assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
  }[];
}

/** Sums the reports of these project folders; a folder without one adds nothing. */
export async function countTests(folders: readonly string[]): Promise<Counts> {
  const reports = await Promise.all(folders.map(readReport));
  const counts: Counts = { passed: 0, failed: 0, skipped: 0, failures: [], failedIn: [] };
  for (const [index, report] of reports.entries()) {
    if (report === undefined) continue;
    const project = basename(folders[index] ?? '');
    counts.passed += report.numPassedTests;
    // A file that could not even be loaded holds no test, and is a failure all the same.
    const broken = report.testResults.filter((f) => f.status === 'failed' && f.assertionResults.length === 0);
    counts.failed += report.numFailedTests + broken.length;
    if (report.numFailedTests + broken.length > 0) counts.failedIn.push(project);
    counts.skipped += report.numPendingTests + report.numTodoTests;
    counts.failures.push(
      ...broken.map(({ name, message }) => describeFailure(project, basename(name), message)),
      ...report.testResults
        .flatMap(({ assertionResults }) => assertionResults)
        .filter(({ status }) => status === 'failed')
        .map(({ fullName, failureMessages: [message] }) => describeFailure(project, fullName, message)),
    );
  }
  return counts;
}

function describeFailure(project: string, name: string, message = ''): string {
  // The line of the test in its stack: many say the same when they time out.
  const place = /[^/\s(]+\.test\.ts:\d+/.exec(message)?.[0];
  return `${project}: ${name}: ${message.split('\n')[0] ?? ''}${place === undefined ? '' : ` (${place})`}`;
}

const readReport = (folder: string): Promise<Report | undefined> =>
  unlessMissing(async () => JSON.parse(await readFile(join(folder, RESULTS), 'utf8')) as Report);
