import { afterEach, expect, test, vi } from 'vitest';
import { chooseBase } from './base.ts';

afterEach(() => vi.unstubAllEnvs());

test('the configuration of a target wins over the checkout’s setting', () => {
  vi.stubEnv('SOVEREIGN_BASE', 'alpine');
  expect(chooseBase('debian')).toBe('debian');
});

test('without a configuration the checkout’s setting counts', () => {
  vi.stubEnv('SOVEREIGN_BASE', 'debian');
  expect(chooseBase(undefined)).toBe('debian');
});

test('without either the default is Alpine', () => {
  vi.stubEnv('SOVEREIGN_BASE', undefined);
  expect(chooseBase(undefined)).toBe('alpine');
});

test('a setting that names no base is refused with the names that are', () => {
  vi.stubEnv('SOVEREIGN_BASE', 'gentoo');
  expect(() => chooseBase(undefined)).toThrow(/gentoo.*Write one of alpine, debian/);
});
