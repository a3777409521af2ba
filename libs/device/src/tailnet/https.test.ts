import { defineService } from '@sovereign/service';
import { describe, expect, test } from 'vitest';
import { toStatus } from '../status.ts';
import { definition } from '../testing/workstation.ts';
import { httpsAttention, parseHttps } from './state.ts';

const END = '2027-05-22T10:00:00.000Z';

describe('what a guest tells of HTTPS', () => {
  test.for([
    ['none', { state: 'none' }],
    ['bad tls: expired certificate', { state: 'bad', detail: 'tls: expired certificate' }],
    [
      'on vault.example.org 2027-05-22T10:00:00Z own',
      { state: 'on', name: 'vault.example.org', expires: END, from: 'own' },
    ],
    ['on vault.example.org soon own', undefined],
    ['on vault.example.org 2027-05-22T10:00:00Z nobody', undefined],
    ['dancing', undefined],
    [undefined, undefined],
  ] as const)('%s', ([told, expected]) => {
    expect(parseHttps(told)).toEqual(expected);
  });
});

describe('a web service', () => {
  const web = defineService({
    ...definition,
    name: 'vault',
    ports: [
      {
        name: 'web',
        guest: 8000,
        host: 18_000,
        tailnet: 443,
        tls: { certificate: 'certificate', address: 'domain' },
        scheme: 'http',
      },
    ],
    secrets: [{ name: 'certificate', make: 'owner', holds: 'certificate', description: 'for HTTPS' }],
    settings: [{ name: 'domain', kind: 'url', description: 'where it is' }],
    needs: [],
  });
  const local = { name: 'web', url: 'http://127.0.0.1:18000/' };
  const status = (https: string | undefined, tailnet = 'running 100.64.0.1 vault-pixel.ts.net never n1') =>
    toStatus(web, { state: 'running', health: 'ok', tailnet, https: https ?? '' }, { web: 18_000 }, true);

  test('has an address in the tailnet once its handshake was verified, and by that name', () => {
    const { endpoints, tailnet } = status('on vault.example.org 2099-05-22T10:00:00Z own');
    expect(endpoints).toEqual([local, { name: 'web', url: 'https://vault.example.org/', via: 'tailnet' }]);
    expect(tailnet?.https).toMatchObject({ state: 'on', name: 'vault.example.org' });
  });

  test.for(['none', 'bad no', undefined])('has none where HTTPS is %s', (https) => {
    expect(status(https).endpoints).toEqual([local]);
  });

  test('without a certificate, says where HTTPS is switched on, and how one is given', () => {
    expect(status('none').attention).toMatch(
      /login\.tailscale\.com\/admin\/dns.*sovereign secrets set vault certificate </,
    );
    expect(status('bad x509: no').attention).toContain('not verified: x509: no');
  });

  test('is not told of HTTPS while its node does not run', () => {
    expect(status('none', 'logged-out')).toMatchObject({ tailnet: { state: 'logged-out' } });
    expect(status('none', 'logged-out').attention).not.toContain('https');
  });
});

describe('the end of a certificate', () => {
  const now = Date.parse('2026-11-23T12:00:00Z');
  const ends = (day: string, from: 'own' | 'tailnet') =>
    httpsAttention(
      { state: 'on', name: 'vault.example.org', expires: `${day}T12:00:00.000Z`, from },
      'vault',
      'certificate',
      now,
    );

  test('is warned of three weeks before, with what is to be done', () => {
    expect(ends('2026-12-15', 'own')).toBeUndefined();
    expect(ends('2026-12-14', 'own')).toMatch(
      /vault\.example\.org ends on 2026-12-14: sovereign secrets set vault/,
    );
    expect(ends('2026-12-14', 'tailnet')).toMatch(/should have made the next by now/);
  });
});
