import { expect, test } from 'vitest';
import { readReport } from './report.ts';

test('a probe that failed a question or stopped early is not taken for one that passed', () => {
  const report = readReport(
    '[ 0.1] kernel\r\ncheck ipc.shmget fail Function not implemented\r\ncheck a.b pass\r\n',
  );
  expect(report).toEqual({
    passed: ['a.b'],
    failed: ['ipc.shmget: Function not implemented'],
    finished: false,
    uptime: undefined,
  });
});

test('a whole report is read among the messages of the kernel', () => {
  const report = readReport(
    'uptime 0.512\ncheck a pass\nnoise check b fail no\nfinished\n[ 1.0] reboot: Power down\n',
  );
  expect(report).toEqual({ passed: ['a'], failed: [], finished: true, uptime: 0.512 });
});
