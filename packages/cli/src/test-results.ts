import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where the `test` of a project leaves Vitest's report, inside the project's folder (vitest.config.ts). */
export const RESULTS = 'dist/test-results.json';

export interface Counts {
  passed: number;
  failed: number;
  /** Tests that say why they were not run; they are told, never counted as passed. */
  skipped: number;
}

/** Fields of Vitest's JSON reporter that are used here; it has the shape of Jest's. */
interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: 'passed' | 'failed'; assertionResults: unknown[] }[];
}

/** Sums the reports of these project folders; a folder without one adds nothing. */
export async function countTests(folders: readonly string[]): Promise<Counts> {
  const reports = await Promise.all(folders.map(readReport));
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const report of reports) {
    if (report === undefined) continue;
    counts.passed += report.numPassedTests;
    // A file that could not even be loaded holds no test, and is a failure all the same.
    const broken = report.testResults.filter((f) => f.status === 'failed' && f.assertionResults.length === 0);
    counts.failed += report.numFailedTests + broken.length;
    counts.skipped += report.numPendingTests + report.numTodoTests;
  }
  return counts;
}

async function readReport(folder: string): Promise<Report | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, RESULTS), 'utf8')) as Report;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
