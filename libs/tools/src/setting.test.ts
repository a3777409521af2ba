import { expect, test } from 'vitest';
import { toolWay } from './setting.ts';

test('the tools are entered as a root unless the setting says otherwise', () => {
  expect(toolWay({})).toBe('root');
  expect(toolWay({ SOVEREIGN_TOOLS: '' })).toBe('root');
  expect(toolWay({ SOVEREIGN_TOOLS: 'docker' })).toBe('docker');
});

test('a way that does not exist is refused with those that do', () => {
  expect(() => toolWay({ SOVEREIGN_TOOLS: 'podman' })).toThrow(/podman.*root, docker/);
});
