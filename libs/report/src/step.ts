import { toSovereignError, type SovereignError } from './error.ts';
import { appendEvent, EVENTS_VARIABLE, type StepEvent } from './events.ts';

export interface StepHandle {
  /** Reports how far the step is; events are limited to a few a second. */
  progress(done: number, total?: number, unit?: string): void;
  /** Marks the step as served from a cache: it is shown as such when it ends. */
  cached(): void;
  /** One short noun phrase that is shown behind the step's time. */
  detail(text: string): void;
}

export interface StepOptions {
  project?: string;
  target?: string;
}

/** Smallest time between two progress events of one step, in milliseconds. */
const PROGRESS_INTERVAL = 200;

/**
 * Announces one named piece of work, times it, and reports how it ended. Where SOVEREIGN_EVENTS names a file,
 * events are appended there and somebody else draws them; without it, a plain line goes to standard error.
 */
export async function step<T>(
  name: string,
  work: (handle: StepHandle) => Promise<T>,
  options: StepOptions = {},
): Promise<T> {
  const started = performance.now();
  let end: 'done' | 'cached' = 'done';
  let detail: string | undefined;
  let lastProgress = -Infinity;
  emit({ step: name, state: 'start', ...options });
  const handle: StepHandle = {
    progress(done, total, unit) {
      const now = performance.now();
      if (now - lastProgress < PROGRESS_INTERVAL && done !== total) return;
      lastProgress = now;
      emit({
        step: name,
        state: 'progress',
        ...options,
        done,
        ...(total === undefined ? {} : { total }),
        ...(unit === undefined ? {} : { unit }),
      });
    },
    cached() {
      end = 'cached';
    },
    detail(text) {
      detail = text;
    },
  };
  const ms = () => Math.round(performance.now() - started);
  try {
    const result = await work(handle);
    emit({ step: name, state: end, ...options, ms: ms(), ...(detail === undefined ? {} : { detail }) });
    return result;
  } catch (thrown) {
    const error = toSovereignError(thrown);
    emitFailure(error, { step: name, ...options, ms: ms() });
    throw error;
  }
}

/** Errors that a step has announced. */
const announced = new WeakSet<SovereignError>();

/**
 * Does work whose error is announced under this name, unless a step of it has done so: who follows the events knows of
 * no other.
 */
export async function announcing<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const error = toSovereignError(thrown);
    if (!announced.has(error)) emitFailure(error, { step: name });
    throw error;
  }
}

function emitFailure(error: SovereignError, event: Omit<Emitted, 'state' | 'error'>): void {
  emit({ ...event, state: 'failed', error: { ...error.report(), exit: error.exit } });
  announced.add(error);
}

/** Says one thing that a person should read now: a choice that was made for them, a warning. */
export function note(text: string): void {
  emit({ step: text, state: 'done', detail: 'note' });
}

type Emitted = Omit<StepEvent, 'at'>;

/** Nx tells a task its project and target through these variables. */
function origin(): Pick<StepEvent, 'project' | 'target'> {
  const project = process.env.NX_TASK_TARGET_PROJECT;
  const target = process.env.NX_TASK_TARGET_TARGET;
  return { ...(project === undefined ? {} : { project }), ...(target === undefined ? {} : { target }) };
}

function emit(event: Emitted): void {
  const full: StepEvent = { at: new Date().toISOString(), ...origin(), ...event };
  const file = process.env[EVENTS_VARIABLE];
  if (file !== undefined && file !== '') {
    try {
      appendEvent(file, full);
      return;
    } catch {
      // Whoever draws is gone, or its disk is full: that must not fail the work itself.
    }
  }
  const line = plainLine(full);
  if (line !== undefined) process.stderr.write(`${line}\n`);
}

/** One line for people and logs; undefined for what only a live display needs. */
export function plainLine(event: StepEvent): string | undefined {
  if (event.detail === 'note') return `note: ${event.step}`;
  const detail = event.detail === undefined ? '' : ` (${event.detail})`;
  const time = event.ms === undefined ? '' : ` ${(event.ms / 1000).toFixed(1)} s`;
  switch (event.state) {
    case 'start':
      return `${event.step} …`;
    case 'progress':
      return undefined;
    case 'done':
      return `${event.step}: done${time}${detail}`;
    case 'cached':
      return `${event.step}: cached${time}${detail}`;
    case 'failed':
      return `${event.step}: failed${time}: ${event.error?.what ?? 'unknown error'}`;
  }
}
