import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  announcing,
  EVENTS_VARIABLE,
  note,
  readEvents,
  SovereignError,
  step,
  toSovereignError,
} from './index.ts';

let folder: string;
let events: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'report-'));
  events = join(folder, 'events');
  vi.stubEnv(EVENTS_VARIABLE, events);
});

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

describe('a step', () => {
  test('is announced, timed and ended as events', async () => {
    vi.stubEnv('NX_TASK_TARGET_PROJECT', 'kernel');
    const result = await step('build', async (handle) => {
      handle.progress(5, 10, 'objects');
      handle.detail('10 objects');
      return Promise.resolve(7);
    });
    expect(result).toBe(7);
    const [start, progress, done] = readEvents(events);
    expect(start).toMatchObject({ project: 'kernel', step: 'build', state: 'start' });
    expect(progress).toMatchObject({ state: 'progress', done: 5, total: 10, unit: 'objects' });
    expect(done).toMatchObject({ state: 'done', detail: '10 objects', ms: expect.any(Number) as number });
  });

  test('that fails leaves one error event with its exit status, and throws', async () => {
    const work = () =>
      Promise.reject(
        new SovereignError({ code: 'no-disk', what: 'no disk', on: 'vda', hint: 'Add one', exit: 4 }),
      );
    await expect(step('look', work)).rejects.toThrow('no disk (vda). Add one');
    expect(readEvents(events).at(-1)).toMatchObject({
      state: 'failed',
      error: { code: 'no-disk', what: 'no disk', on: 'vda', hint: 'Add one', exit: 4 },
    });
  });

  test('is not needed for an error to be announced, once', async () => {
    const fail = () => Promise.reject(new SovereignError({ code: 'no-lock', what: 'no lock', on: 'a file' }));
    await expect(announcing('build', fail)).rejects.toThrow('no lock');
    await expect(announcing('build', () => step('look', fail))).rejects.toThrow('no lock');
    expect(await announcing('build', () => Promise.resolve(7))).toBe(7);
    const failed = readEvents(events).filter(({ state }) => state === 'failed');
    expect(failed.map((event) => [event.step, event.error?.code])).toEqual([
      ['build', 'no-lock'],
      ['look', 'no-lock'],
    ]);
  });

  test('limits how often it says how far it is, but never drops the last word', async () => {
    await step('copy', async (handle) => {
      for (let done = 0; done <= 1000; done++) handle.progress(done, 1000);
      return Promise.resolve();
    });
    const progress = readEvents(events).filter(({ state }) => state === 'progress');
    expect(progress.length).toBeLessThan(10);
    expect(progress.at(-1)?.done).toBe(1000);
  });

  test('prints plain lines on standard error where nobody reads events', async () => {
    vi.stubEnv(EVENTS_VARIABLE, '');
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    await step('fetch', (handle) => {
      handle.cached();
      return Promise.resolve();
    });
    note('port 15432 is taken');
    const lines = write.mock.calls.map(([text]) => String(text));
    expect(lines[0]).toBe('fetch …\n');
    expect(lines[1]).toMatch(/^fetch: cached \d+\.\d s\n$/);
    expect(lines[2]).toBe('note: port 15432 is taken\n');
  });
});

test('work goes on when nobody can be told of it', async () => {
  vi.stubEnv(EVENTS_VARIABLE, join(folder, 'gone/events'));
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  await expect(step('build', () => Promise.resolve('built'))).resolves.toBe('built');
  expect(write).toHaveBeenCalledWith('build …\n');
});

test('a line that is no event is passed over', () => {
  appendFileSync(events, 'half a li\n{"step": 1\n{"step":"a","state":"done","at":""}\n');
  expect(readEvents(events)).toHaveLength(1);
});

test('a full disk is named with its cure', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
    code: 'ENOSPC',
    path: '/x',
  });
  expect(toSovereignError(full)).toMatchObject({
    code: 'no-space',
    on: '/x',
    hint: expect.stringContaining('Free') as string,
  });
});
