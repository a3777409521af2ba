import { appendFileSync, readFileSync } from 'node:fs';
import type { ErrorReport } from './error.ts';

/** Names the file that events are appended to, one JSON document a line (docs/formats.md, "Events"). */
export const EVENTS_VARIABLE = 'SOVEREIGN_EVENTS';

export type StepState = 'start' | 'progress' | 'done' | 'cached' | 'failed';

export interface StepEvent {
  /** ISO 8601. */
  at: string;
  project?: string;
  target?: string;
  step: string;
  state: StepState;
  done?: number;
  total?: number;
  /** Of `done` and `total`, for example `bytes` or `objects`. */
  unit?: string;
  ms?: number;
  detail?: string;
  error?: ErrorReport & { exit: number };
}

/** Appends one event in one write, so that writers in several processes never mix their lines. */
export function appendEvent(file: string, event: StepEvent): void {
  appendFileSync(file, `${JSON.stringify(event)}\n`);
}

/** Undefined for a line that is no event: a reader must survive a half-written or foreign line. */
export function parseEvent(line: string): StepEvent | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && 'step' in value && 'state' in value
      ? (value as StepEvent)
      : undefined;
  } catch {
    return undefined;
  }
}

export function readEvents(file: string): StepEvent[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .map(parseEvent)
    .filter((event) => event !== undefined);
}
