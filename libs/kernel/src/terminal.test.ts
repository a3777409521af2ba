import { expect, test, vi } from 'vitest';
import { findTerminal } from './terminal.ts';

test('without a terminal the menu is refused, with another way to go', () => {
  vi.stubEnv('TERM', 'no-such-terminal');
  expect(() => findTerminal()).toThrow(/no-such-terminal.*change a fragment by hand/);
  vi.unstubAllEnvs();
});
