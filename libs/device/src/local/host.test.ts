import { expect, test } from 'vitest';
import { LocalHost } from './host.ts';

test('this machine keeps some space free, so that a service is stopped before its thin disk cannot grow', async () => {
  const { reserve } = await new LocalHost('/nowhere').settings();
  expect(reserve).toBeGreaterThanOrEqual(64);
});
