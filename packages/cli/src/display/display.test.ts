import { stripVTControlCharacters } from 'node:util';
import type { StepEvent } from '@sovereign/report';
import { describe, expect, it } from 'vitest';
import { fakeStreams } from '../testing/streams.ts';
import { openDisplay } from './index.ts';
import { bar, liveDisplay } from './live.ts';

const event = (rest: Partial<StepEvent>): StepEvent => ({
  at: '2026-01-01T00:00:00Z',
  step: 'fetching',
  state: 'start',
  ...rest,
});

const story = [
  event({ project: 'kernel' }),
  event({ project: 'kernel', state: 'progress', done: 25, total: 100 }),
  event({ step: 'base: debian', state: 'done', detail: 'note' }),
  event({ project: 'kernel', state: 'done', ms: 1234 }),
  event({ step: 'composing', state: 'start' }),
  event({ step: 'composing', state: 'failed', ms: 10, error: { exit: 1, code: 'x', what: 'no space left' } }),
];

function draw(tty: boolean, flags: { quiet: boolean; verbose: boolean }, events = story) {
  const { streams, err } = fakeStreams({ tty });
  const display = openDisplay(streams.err, flags);
  for (const one of events) display.show(one);
  display.close();
  return err();
}

describe('plain lines', () => {
  it('are what everything but a terminal gets: no control code', () => {
    expect(draw(false, { quiet: false, verbose: false })).toBe(
      [
        'kernel: fetching …',
        'note: base: debian',
        'kernel: fetching: done 1.2 s',
        'composing …',
        'composing: failed 0.0 s: no space left',
        '',
      ].join('\n'),
    );
  });

  it('are what --verbose gets on a terminal too, since raw output runs between them', () => {
    expect(draw(true, { quiet: false, verbose: true })).toBe(draw(false, { quiet: false, verbose: true }));
  });

  it('--quiet says only what was decided for the user', () => {
    expect(draw(false, { quiet: true, verbose: false })).toBe('note: base: debian\n');
  });
});

describe('the live picture', () => {
  it('keeps one line for everything that ended', () => {
    const text = stripVTControlCharacters(draw(true, { quiet: false, verbose: false }));
    expect(text).toContain('✔ kernel: fetching 1.2 s');
    expect(text).toContain('note: base: debian');
    expect(text).toContain('✘ composing 0.0 s: no space left');
  });

  it('moves what runs, with its time and a bar where the total is known', () => {
    const { streams, err } = fakeStreams({ tty: true });
    let now = 1000;
    const display = liveDisplay(streams.err, () => now);
    display.show(event({}));
    now = 3500;
    display.show(event({ state: 'progress', done: 50_000_000, total: 100_000_000, unit: 'bytes' }));
    now = 5500;
    display.show(event({ state: 'progress', done: 90_000_000, total: 100_000_000, unit: 'bytes' }));
    const text = stripVTControlCharacters(err());
    display.close();
    expect(text).toContain('fetching 0.0 s');
    expect(text).toContain('50 % of 100.0 MB 2.5 s');
    expect(text).toContain('90 % of 100.0 MB 20.0 MB/s 4.5 s');
  });

  it('leaves no running line behind when it is closed', () => {
    const { streams, err } = fakeStreams({ tty: true });
    const display = liveDisplay(streams.err);
    display.show(event({}));
    const before = err().length;
    display.close();
    expect(err().slice(before)).toContain('\u001B[');
    expect(stripVTControlCharacters(err().slice(before)).trim()).toBe('');
  });
});

describe('bar', () => {
  it.each([
    [event({ done: 0, total: 4 }), /^░{24} 0 % of 4 $/],
    [event({ done: 4, total: 4, unit: 'objects' }), /^█{24} 100 % of 4 objects $/],
    [event({ done: 9, total: 4 }), /^█{24} 100 %/],
    [event({ done: 2_500_000, unit: 'bytes' }), /^2\.5 MB $/],
    [event({ done: 3, total: 0 }), /^3 $/],
    [event({}), /^$/],
  ])('%#', (progress, expected) => {
    expect(bar(progress)).toMatch(expected);
  });
});
