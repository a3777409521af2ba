import { expect, test } from 'vitest';
import { gvproxyConfig } from './gvproxy.ts';

test('every index has its lease, the first service the address of the seed', () => {
  const leases = gvproxyConfig().match(/^ {4}192\.168\.127\.\d+: 52:53:56:00:00:[0-9a-f]{2}$/gm);
  expect(leases).toHaveLength(199);
  expect(leases?.[0]).toBe('    192.168.127.2: 52:53:56:00:00:02');
  expect(leases?.at(-1)).toBe('    192.168.127.200: 52:53:56:00:00:c8');
});

test('nothing leads to the device itself', () => {
  expect(gvproxyConfig()).not.toMatch(/127\.0\.0\.1|forwards|dns/);
});
