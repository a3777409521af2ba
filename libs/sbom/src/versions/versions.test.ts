import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { compareAlpine } from './alpine.ts';
import { compareDebian } from './debian.ts';

/** Each older than the next. */
const debian = [
  '0.9~~',
  '0.9~',
  '0.9',
  '0.9+dfsg',
  '0.10',
  '1.0~rc1-1',
  '1.0-1~deb13u1',
  '1.0-1',
  '1.0-1+b1',
  '1.0-1+b10',
  '1.0-1+deb13u2',
  '1.0-1.1',
  '1.0-really',
  '1.0a-1',
  '1.0+really0.9-1',
  '20250419+deb13u1',
  '1:0.1-1',
  '2:0',
];

const alpine = [
  '0.1',
  '0.1.0_alpha',
  '0.1.0_alpha2',
  '0.1.0_beta',
  '0.1.0_pre1',
  '0.1.0_rc1',
  '0.1.0',
  '0.1.0-r1',
  '0.1.0-r10',
  '0.1.0_git20240101',
  '0.1.0_p1',
  '0.1.0_p1-r2',
  '1.02',
  '1.1',
  '1.1a',
  '1.1b-r3',
  '1.10',
  '3.24.1-r0',
  '20240101',
  '20240101~abcdef',
];

const pairs = (ordered: readonly string[]) =>
  ordered.flatMap((one, i) => ordered.map((other, j) => [one, other, Math.sign(i - j)] as const));

const hasDpkg = (() => {
  try {
    execFileSync('dpkg', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

describe('versions of Debian', () => {
  test.each(pairs(debian))('%s against %s', (one, other, order) => {
    expect(Math.sign(compareDebian(one, other))).toBe(order);
  });

  test.runIf(hasDpkg)('are in the order that dpkg has them in', () => {
    for (const [one, other, order] of pairs(debian)) {
      const run = () => execFileSync('dpkg', ['--compare-versions', one, 'lt', other], { stdio: 'ignore' });
      if (order < 0) expect(run, `${one} < ${other}`).not.toThrow();
      else expect(run, `${one} >= ${other}`).toThrow();
    }
  });

  test('are the same with leading zeros, and whatever the length of their numbers', () => {
    expect(compareDebian('1.01-1', '1.1-1')).toBe(0);
    expect(compareDebian('1.20250101000000000000001', '1.20250101000000000000002')).toBeLessThan(0);
  });
});

describe('versions of Alpine', () => {
  test.each(pairs(alpine))('%s against %s', (one, other, order) => {
    expect(Math.sign(compareAlpine(one, other) ?? NaN)).toBe(order);
  });

  test.each(['', 'latest', '1.0_weird1', '1..0', '1.0-1', 'v1'])('are not: %s', (version) => {
    expect(compareAlpine(version, '1.0')).toBeUndefined();
  });
});
