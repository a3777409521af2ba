import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Patience } from './patience.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Whether it is over after so many milliseconds more. */
async function isOver(patience: Patience, ms: number): Promise<boolean> {
  await vi.advanceTimersByTimeAsync(ms);
  return (await Promise.race([patience.over, Promise.resolve('not yet')])) === 'over';
}

test('is over once nothing happened for its time', async () => {
  const patience = new Patience(1000);
  expect(await isOver(patience, 999)).toBe(false);
  expect(await isOver(patience, 1)).toBe(true);
});

test('begins anew with every sign of progress, also with another time', async () => {
  const patience = new Patience(1000);
  for (let sign = 0; sign < 5; sign++) {
    expect(await isOver(patience, 900)).toBe(false);
    patience.renew(1000);
  }
  patience.renew(5000);
  expect(await isOver(patience, 4999)).toBe(false);
  expect(await isOver(patience, 1)).toBe(true);
});

test('that was ended is never over', async () => {
  const patience = new Patience(1000);
  patience.end();
  patience.renew(1000);
  expect(await isOver(patience, 10_000)).toBe(false);
});
