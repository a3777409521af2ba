import { describe, expect, test } from 'vitest';
import { toStatus } from '../status.ts';
import { definition } from '../testing/workstation.ts';
import { parseTailnet, tailnetAttention } from './state.ts';

const running = 'running 100.64.0.1 sql-pixel.tail1234.ts.net never nodeABC';

describe('what a guest tells of its node', () => {
  test.for([
    ['off', { state: 'off' }],
    ['starting', { state: 'starting' }],
    ['starting no relay', { state: 'starting', detail: 'no relay' }],
    ['logged-out', { state: 'logged-out' }],
    ['needs-login', { state: 'needs-login' }],
    [
      'needs-login https://login.tailscale.com/a/1f',
      { state: 'needs-login', url: 'https://login.tailscale.com/a/1f' },
    ],
    [
      'refused invalid key: API key 1f not valid',
      { state: 'refused', detail: 'invalid key: API key 1f not valid' },
    ],
    ['needs-approval', { state: 'needs-approval' }],
    ['stopped', { state: 'stopped' }],
    ['expired 2026-05-22T10:00:00Z', { state: 'expired', expires: '2026-05-22T10:00:00.000Z' }],
    [
      'expired 2026-05-22T10:00:00Z https://login.tailscale.com/a/1f',
      { state: 'expired', expires: '2026-05-22T10:00:00.000Z', url: 'https://login.tailscale.com/a/1f' },
    ],
    ['expired', { state: 'expired' }],
    [
      'running 100.64.0.1 sql never 7 dial tcp: connection refused',
      {
        state: 'running',
        address: '100.64.0.1',
        name: 'sql',
        expires: null,
        id: '7',
        detail: 'dial tcp: connection refused',
      },
    ],
    ['unreachable', { state: 'unreachable' }],
    ['unreachable dial tcp: timeout', { state: 'unreachable', detail: 'dial tcp: timeout' }],
    [
      running,
      {
        state: 'running',
        address: '100.64.0.1',
        name: 'sql-pixel.tail1234.ts.net',
        expires: null,
        id: 'nodeABC',
      },
    ],
    [
      'running 100.64.0.1 sql 2027-05-22T10:00:00Z 7',
      { state: 'running', address: '100.64.0.1', name: 'sql', expires: '2027-05-22T10:00:00.000Z', id: '7' },
    ],
    ['running 100.64.0.1', { state: 'unknown', detail: 'running 100.64.0.1' }],
    ['running 100.64.0.1 sql soon 7', { state: 'unknown', detail: 'running 100.64.0.1 sql soon 7' }],
    ['dancing', { state: 'unknown', detail: 'dancing' }],
  ] as const)('%s', ([told, expected]) => {
    expect(parseTailnet(told)).toEqual(expected);
  });
});

describe('status', () => {
  const seen = { state: 'running', health: 'ok' };
  const ports = { postgres: 15_432 };

  test('has the address in the tailnet, and says which endpoint it is', () => {
    const { tailnet, endpoints, attention } = toStatus(
      definition,
      { ...seen, tailnet: running },
      ports,
      true,
    );
    expect(tailnet).toMatchObject({ state: 'running', address: '100.64.0.1', expires: null });
    expect(endpoints).toEqual([
      { name: 'postgres', url: 'postgresql://postgres@127.0.0.1:15432/postgres' },
      { name: 'postgres', url: 'postgresql://postgres@100.64.0.1:5432/postgres', via: 'tailnet' },
    ]);
    expect(attention).toBeUndefined();
  });

  test('says nothing of a tailnet that is off, and what a guest still has of one', () => {
    expect(toStatus(definition, seen, ports, false)).not.toHaveProperty('tailnet');
    expect(toStatus(definition, { ...seen, tailnet: 'off' }, ports, false)).not.toHaveProperty('tailnet');
    expect(toStatus(definition, { ...seen, tailnet: running }, ports, false).tailnet?.state).toBe('running');
  });

  test('does not know where the guest is silent, and is silent of what was never deployed', () => {
    expect(toStatus(definition, seen, ports, true).tailnet).toEqual({ state: 'unknown' });
    expect(toStatus(definition, undefined, {}, true)).not.toHaveProperty('tailnet');
  });

  test('leaves a service alone that the tailnet may not reach', () => {
    const inside = {
      ...definition,
      ports: definition.ports.map((port) => ({ ...port, tailnet: undefined })),
    };
    expect(toStatus(inside, seen, ports, true)).not.toHaveProperty('tailnet');
  });

  test('keeps what else needs attention', () => {
    const { attention } = toStatus(
      definition,
      { ...seen, attention: 'rolled back', tailnet: 'refused used up' },
      ports,
      true,
    );
    expect(attention).toMatch(/^rolled back; tailnet: the auth key was refused: used up; .*--key FILE$/);
  });
});

describe('a person is told', () => {
  const now = Date.parse('2026-11-23T12:00:00Z');
  const ends = (day: string) =>
    tailnetAttention({ state: 'running', expires: `${day}T12:00:00.000Z` }, 'sql', now);

  test('of a key that ends within 30 days, and of no other', () => {
    expect(ends('2026-12-24')).toBeUndefined();
    expect(ends('2026-12-23')).toContain('expires on 2026-12-23, in 30 days; sovereign tailnet login sql');
    expect(ends('2026-11-22')).toContain('expired on 2026-11-22');
    expect(tailnetAttention({ state: 'running', expires: null }, 'sql', now)).toBeUndefined();
  });

  test.for([
    ['needs-login', 'sovereign tailnet login sql'],
    ['logged-out', 'sovereign tailnet login sql'],
    ['refused', 'sovereign tailnet login sql --key FILE'],
    ['expired', 'key expired; sovereign tailnet login sql'],
    ['needs-approval', 'admin/machines'],
    ['stopped', 'sovereign tailnet login sql'],
    ['unreachable', 'goes on trying'],
  ] as const)('what to do where it is %s', ([state, cure]) => {
    expect(tailnetAttention({ state }, 'sql', now)).toContain(cure);
  });

  test('of a key that is over, with its day and the address to visit', () => {
    const status = {
      state: 'expired',
      expires: '2026-05-22T10:00:00.000Z',
      url: 'https://x.example/a',
    } as const;
    expect(tailnetAttention(status, 'sql', now)).toMatch(
      /expired on 2026-05-22; visit https:\/\/x\.example\/a,/,
    );
  });

  test('of a control server that is gone while the node runs, beside the end of its key', () => {
    const silent = { state: 'running', expires: null, detail: 'connection refused' } as const;
    expect(tailnetAttention(silent, 'sql', now)).toContain('is not reached: connection refused');
    const both = tailnetAttention({ ...silent, expires: '2026-12-01T00:00:00Z' }, 'sql', now);
    expect(both).toMatch(/expires on 2026-12-01.*is not reached: connection refused/);
  });

  test('of a node that is known, and stays without a relay', () => {
    expect(tailnetAttention({ state: 'starting', detail: 'no relay' }, 'sql', now)).toMatch(
      /: no relay; sovereign diagnose sql tells more$/,
    );
  });

  test.for(['off', 'starting', 'unknown'] as const)('nothing where it is %s', (state) => {
    expect(tailnetAttention({ state }, 'sql', now)).toBeUndefined();
  });
});
