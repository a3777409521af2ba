import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Device } from '@sovereign/device';
import { SovereignError } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import { unlessMissing } from '@sovereign/store';
import { announce } from '../device.ts';
import { failureOf, runNx } from '../nx.ts';
import { wordOf } from '../services.ts';
import type { Run } from '../session.ts';
import { plan } from './build.ts';

/** `test --json`; docs/interface.md. */
export interface TestDocument {
  device: string;
  service: string;
  passed: number;
  failed: number;
  skipped: number;
  checks: { name: string; result: 'pass' | 'fail' | 'skip'; detail: string; ms: number }[];
}

export const test: Run = async (session) => {
  const { root, flags, chosen, signal } = session;
  const device = await session.devices.pick();
  const folder = await mkdtemp(join(tmpdir(), 'sovereign-test-'));
  try {
    const runs = chosen.map((service) => {
      const json = join(folder, `${service.definition.name}.json`);
      const options = { device: device.id, output: json };
      const projects = [service.project];
      return {
        service,
        json,
        run: { root, targets: ['verify'], projects, options, verbose: flags.verbose, signal },
      };
    });
    if (flags.dryRun === true) return plan(runs.map(({ run }) => run));
    announce(device);
    await requireRunning(device, chosen);
    const documents: TestDocument[] = [];
    // One after another: the checks of two services at once would disturb each other's times.
    for (const { service, json, run } of runs) {
      const failure = await failureOf(runNx(run));
      const document = await readDocument(json);
      // A failed check fails the task too; without a document the checks themselves could not be run.
      if (document === undefined) throw failure ?? new Error(`${wordOf(service)}: verify left no result`);
      documents.push(document);
    }
    const [only] = documents;
    return {
      json: documents.length === 1 ? only : { services: documents },
      text: documents.map(describeTest).join('\n'),
      exit: documents.every(({ failed }) => failed === 0) ? 0 : 3,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** What does not run has nothing to check; saying so is quicker than every check's own deadline. */
async function requireRunning(device: Device, services: readonly FoundService[]): Promise<void> {
  const states = await device.status(services.map(({ definition }) => definition));
  const stopped = states.find(({ state }) => state === 'stopped' || state === 'failed');
  if (stopped === undefined) return;
  throw new SovereignError({
    code: 'not-running',
    what: stopped.attention ?? `the service is ${stopped.state}`,
    on: `${stopped.name} on ${device.id}`,
    hint: `Start it with ./sovereign up ${stopped.name}`,
    exit: 3,
  });
}

export function describeTest({ device, service, passed, failed, skipped, checks }: TestDocument): string {
  return [
    ...checks.map(
      ({ name, result, detail, ms }) =>
        `${result}  ${name.padEnd(28)} ${String(ms).padStart(6)} ms  ${detail}`,
    ),
    `${service} on ${device}: ${passed} passed, ${failed} failed, ${skipped} skipped`,
  ].join('\n');
}

const readDocument = (path: string): Promise<TestDocument | undefined> =>
  unlessMissing(async () => JSON.parse(await readFile(path, 'utf8')) as TestDocument);
