import { expect, test } from 'vitest';
import { LastLines } from './run.ts';

function failureAfter(...lines: string[]) {
  const last = new LastLines();
  for (const line of lines) last.add(line);
  return last.failure(['mkfs.erofs', '-zzstd'], { status: 1 });
}

test('a tool that found no space is told as that, whatever it said after it', () => {
  const line = '<E> erofs: write(root.erofs): No space left on device';
  expect(failureAfter('begin', line, 'giving up')).toMatchObject({ code: 'no-space', on: line });
  expect(failureAfter('ld: final link failed: Disk quota exceeded')).toMatchObject({ code: 'no-space' });
});

test('any other failure repeats what the tool printed', () => {
  expect(failureAfter('bad magic')).toMatchObject({
    code: 'tool-failed',
    hint: expect.stringContaining('bad magic') as string,
  });
});
