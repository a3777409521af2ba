import { expect, test } from 'vitest';
import { BRANCH } from './mirror.ts';
import { supportWarning } from './support.ts';

const both = [
  { name: 'postgresql17', archive: 'main' },
  { name: 'vaultwarden', archive: 'community' },
];
const on = (day: string) => new Date(`${day}T12:00:00Z`);

test('a branch in support says nothing', () => {
  expect(supportWarning('v3.24', both, on('2026-12-09'))).toBeUndefined();
});

test('after the support of community ends, what comes from it is named', () => {
  expect(supportWarning('v3.24', both, on('2026-12-10'))).toMatch(/2026-12-09.*: vaultwarden$/);
  expect(supportWarning('v3.24', both.slice(0, 1), on('2026-12-10'))).toBeUndefined();
});

test('after the support of the branch ends, that is said', () => {
  expect(supportWarning('v3.24', [], on('2028-06-02'))).toContain('no fixes since 2028-06-01');
});

test('the end of the branch that images are made of is known', () => {
  expect(supportWarning(BRANCH, [], on('2026-06-10'))).toBeUndefined();
  expect(supportWarning('v9.99', [])).toContain('not known');
});
