import { expect, test } from 'vitest';
import { parseAgentStatus } from './device-report.ts';
import { toStatus } from './status.ts';
import { definition } from './testing/workstation.ts';

test('the launcher’s lines are read as they are, whatever a value holds', () => {
  const text = 'sql state running\nsql attention the VM ended: exit 1\nforge state stopped\nhalf a\n\n';
  const services = parseAgentStatus(text);
  expect(services.get('sql')).toEqual({ state: 'running', attention: 'the VM ended: exit 1' });
  expect([...services.keys()]).toEqual(['sql', 'forge', 'half'].slice(0, 2));
});

test.for([
  ['ok', true],
  ['bad no answer', false],
  ['starting', null],
  ['unknown', null],
  [undefined, null],
] as const)('health %s is %s: only what the guest says counts', ([report, healthy]) => {
  const seen = { state: 'running', ...(report === undefined ? {} : { health: report }) };
  expect(toStatus(definition, seen, {}).healthy).toBe(healthy);
});

test('a guest that has fallen silent needs attention, since when it has', () => {
  const status = toStatus(definition, { state: 'running', health: 'unknown', silent: '1780000000' }, {});
  expect(status.healthy).toBe(null);
  expect(status.attention).toBe(
    'the guest says nothing since 2026-05-28T20:26:40.000Z: sovereign diagnose sql tells more',
  );
});

test('the space on the data disk is told in bytes, below a tenth with the cure', () => {
  const MIB = 1024 * 1024;
  const of = (data: string) => toStatus(definition, { state: 'running', data }, {});
  expect(of(`${2048 * MIB} ${300 * MIB}`)).toMatchObject({ data: { size: 2048 * MIB, free: 300 * MIB } });
  expect(of(`${2048 * MIB} ${300 * MIB}`).attention).toBeUndefined();
  expect(of(`${2048 * MIB} ${200 * MIB}`).attention).toBe(
    'the data disk is nearly full, 200 of 2048 MiB are free: sovereign resize sql 4G',
  );
  // What a service freed when it failed is not enough for it to begin again.
  const ill = { state: 'running', data: `${96 * MIB} ${11 * MIB}`, health: 'bad data full: 11 of 96 MiB' };
  expect(toStatus(definition, ill, {}).attention).toBe(
    'the data disk is full, 11 of 96 MiB are free: sovereign resize sql 192M',
  );
  for (const nonsense of ['', '5', 'a b', '1 2 3', '-1 2']) expect(of(nonsense).data).toBeUndefined();
});

test('a state that is not known is unknown, and nothing at all is stopped', () => {
  expect(toStatus(definition, { state: 'dancing' }, {}).state).toBe('unknown');
  expect(toStatus(definition, undefined, {})).toEqual({
    name: 'sql',
    state: 'stopped',
    healthy: null,
    release: null,
    slot: null,
    trial: false,
    pid: null,
    since: null,
    restarts: 0,
    endpoints: [],
  });
});

test('memory is told while the machine runs: a pid that is used again says nothing', () => {
  const of = (seen: Record<string, string>) => toStatus(definition, seen, {}, false, 5_000_000).memory;
  expect(of({ state: 'running', pid: '7' })).toEqual({
    size: definition.resources.memory * 1024 * 1024,
    held: 5_000_000,
  });
  expect(of({ state: 'stopped' })).toBeUndefined();
});
