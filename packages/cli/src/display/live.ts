import { styleText } from 'node:util';
import { plainLine, type StepEvent } from '@sovereign/report';
import { createLogUpdate } from 'log-update';
import type { Display } from './display.ts';

interface Running {
  event: StepEvent;
  /** Milliseconds of the monotonic clock. */
  since: number;
  /** Where the first progress stood, and when: what was there before is no part of the rate. */
  first?: { done: number; at: number };
}

type Paint = (style: 'cyan' | 'dim' | 'green' | 'red' | 'yellow', text: string) => string;

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/** Milliseconds between two drawings. */
const INTERVAL = 100;
const BAR = 24;
/** Milliseconds until a rate is shown. */
const RATE_AFTER = 1000;

/** Running steps move at the bottom with their time and a bar; what is finished stays above them, one line each. */
export function liveDisplay(
  stream: NodeJS.WriteStream,
  clock: () => number = () => performance.now(),
): Display {
  const update = createLogUpdate(stream);
  const paint: Paint = (style, text) => styleText(style, text, { stream });
  const running = new Map<string, Running>();
  let turn = 0;
  const draw = () => {
    turn++;
    const frame = paint('cyan', frames[turn % frames.length] ?? '');
    update([...running.values()].map((step) => `${frame} ${runningLine(step, clock(), paint)}`).join('\n'));
  };
  const timer = setInterval(() => running.size > 0 && draw(), INTERVAL);
  return {
    show: (event) => {
      const key = `${event.project ?? ''} ${event.target ?? ''} ${event.step}`;
      const known = running.get(key);
      if (event.state === 'start' || event.state === 'progress') {
        const now = clock();
        const first = known?.first ?? (event.done === undefined ? undefined : { done: event.done, at: now });
        running.set(key, { event, since: known?.since ?? now, ...(first === undefined ? {} : { first }) });
        draw();
        return;
      }
      running.delete(key);
      update.persist(finishedLine(event, paint));
      draw();
    },
    close: () => {
      clearInterval(timer);
      update.clear();
      update.done();
    },
  };
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

const title = ({ project, step }: StepEvent): string =>
  project === undefined ? step : `${project}: ${step}`;

function runningLine(step: Running, now: number, paint: Paint): string {
  const { event, since } = step;
  return `${title(event)} ${bar(event)}${paint('dim', `${rate(step, now)}${seconds(now - since)}`)}`;
}

/** Bytes a second since the first progress, once that means something. */
function rate({ event: { done, unit }, first }: Running, now: number): string {
  if (done === undefined || unit !== 'bytes' || first === undefined || now - first.at < RATE_AFTER) return '';
  return `${((done - first.done) / 1e3 / (now - first.at)).toFixed(1)} MB/s `;
}

function finishedLine(event: StepEvent, paint: Paint): string {
  if (event.detail === 'note') return paint('yellow', plainLine(event) ?? '');
  const time = event.ms === undefined ? '' : ` ${seconds(event.ms)}`;
  const detail = event.detail === undefined ? '' : ` (${event.detail})`;
  if (event.state === 'failed') {
    return `${paint('red', '✘')} ${title(event)}${paint('dim', time)}: ${event.error?.what ?? 'unknown error'}`;
  }
  const cached = event.state === 'cached' ? ' cached' : '';
  return `${paint('green', '✔')} ${title(event)}${paint('dim', `${cached}${time}${detail}`)}`;
}

/** A bar where the total is known, the count where it is not. */
export function bar({ done, total, unit }: StepEvent): string {
  if (done === undefined) return '';
  if (total === undefined || total <= 0) return `${amount(done, unit)} `;
  const part = Math.min(1, done / total);
  const full = Math.round(part * BAR);
  return `${'█'.repeat(full)}${'░'.repeat(BAR - full)} ${Math.floor(part * 100)} % of ${amount(total, unit)} `;
}

function amount(count: number, unit: string | undefined): string {
  if (unit === 'bytes') return `${(count / 1e6).toFixed(1)} MB`;
  return unit === undefined ? `${count}` : `${count} ${unit}`;
}
