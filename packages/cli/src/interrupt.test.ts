import { afterEach, expect, test } from 'vitest';
import { interruptible } from './interrupt.ts';

const made: ReturnType<typeof interruptible>[] = [];
afterEach(() => {
  for (const interrupt of made.splice(0)) interrupt.dispose();
});
function begin() {
  const interrupt = interruptible();
  made.push(interrupt);
  return interrupt;
}

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s ends what is being done', (name) => {
  const { signal } = begin();
  process.emit(name, name);
  expect(signal.reason).toMatchObject({ code: 'interrupted', exit: 130 });
});

test('in a shell Ctrl-C is for the shell; the end of the terminal is for both', () => {
  const interrupt = begin();
  const { signal } = interrupt;
  interrupt.ignore();
  process.emit('SIGINT', 'SIGINT');
  expect(signal.aborted).toBe(false);
  process.emit('SIGHUP', 'SIGHUP');
  expect(signal.aborted).toBe(true);
});
