import { expect, test } from 'vitest';
import { toolWay } from './setting.ts';

test('on Linux the tools are entered as a root unless the setting says otherwise', () => {
  expect(toolWay({}, 'linux')).toBe('root');
  expect(toolWay({ SOVEREIGN_TOOLS: '' }, 'linux')).toBe('root');
  expect(toolWay({ SOVEREIGN_TOOLS: 'docker' }, 'linux')).toBe('docker');
});

test('elsewhere they are in a container, since there is no root for it', () => {
  expect(toolWay({}, 'darwin')).toBe('docker');
  expect(toolWay({ SOVEREIGN_TOOLS: 'root' }, 'darwin')).toBe('root');
});

test('a way that does not exist is refused with those that do', () => {
  expect(() => toolWay({ SOVEREIGN_TOOLS: 'podman' })).toThrow(/podman.*root, docker/);
});
