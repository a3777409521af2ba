import { describe, expect, test } from 'vitest';
import { defineService } from './definition.ts';
import { serviceFiles } from './guest-files.ts';
import { tailnetRulesFault } from './tailnet-rules.ts';

const definition = defineService({
  name: 'demo',
  title: 'Demo',
  net: { index: 9 },
  bases: { debian: { packages: ['demo'] } },
  accounts: [],
  resources: { memory: 128, cpus: 1 },
  data: { kind: 'demo', major: 3, collation: 'builtin C.UTF-8', size: 64 },
  ports: [
    { name: 'web', guest: 80, host: 8080, tailnet: 443, scheme: 'http' },
    { name: 'ssh', guest: 2222, host: 2222, scheme: 'ssh' },
  ],
  secrets: [],
  units: ['demo'],
  health: { command: '/usr/lib/sovereign/health', deadline: 60 },
});

test('service.conf has one KEY VALUE line a fact, in a fixed order', () => {
  expect(serviceFiles(definition, 'debian')).toEqual([
    {
      path: 'etc/sovereign/service.conf',
      content: [
        'schema 1',
        'name demo',
        'base debian',
        'data-kind demo',
        'data-major 3',
        'data-collation builtin C.UTF-8',
        'data-bases debian',
        'port web 80',
        'port ssh 2222',
        'tailnet web 443 80',
        'units agent network ssh data demo',
        'health /usr/lib/sovereign/health',
        '',
      ].join('\n'),
    },
  ]);
});

test('a base opens the data of every base that the service has, and of no other', () => {
  const both = {
    ...definition,
    bases: { ...definition.bases, alpine: { packages: ['demo'], leaveOut: {} } },
  };
  expect(serviceFiles(both, 'debian')[0]?.content).toContain('data-bases alpine debian\n');
  expect(serviceFiles(definition, 'debian')[0]?.content).toContain('data-bases debian\n');
});

describe('TLS in front of a port', () => {
  const [web, ssh] = definition.ports;
  if (web === undefined || ssh === undefined) throw new Error('the definition has two ports');
  const secured = {
    ...definition,
    ports: [{ ...web, tls: { certificate: 'certificate', address: 'domain' } }, ssh],
    secrets: [
      {
        name: 'certificate',
        make: 'owner' as const,
        holds: 'certificate' as const,
        description: 'for HTTPS',
      },
    ],
    settings: [{ name: 'domain', kind: 'url' as const, description: 'where it is' }],
  };

  test('is what the tailnet reaches, and the port itself is not', () => {
    const content = serviceFiles(defineService(secured), 'debian')[0]?.content;
    expect(content).toContain('port web 80\n');
    expect(content).toContain('tailnet web 443 443\ntls web 443 80 certificate domain\n');
    expect(content).not.toContain('tailnet web 443 80\n');
  });

  test('is what the firewall is compared with', () => {
    const dropped = 'counter packets 0 bytes 0 drop comment "not for the tailnet"';
    const accepts = (port: number) => [`tcp dport ${port} ct original proto-dst 443 accept`, dropped];
    expect(tailnetRulesFault(defineService(secured), accepts(443))).toBeUndefined();
    expect(tailnetRulesFault(defineService(secured), accepts(80))).toContain('tcp dport 80 ');
  });

  test.each([
    [
      'no number in the tailnet',
      { ports: [{ ...secured.ports[0], tailnet: undefined }] },
      /a port of the tailnet/,
    ],
    ['another scheme', { ports: [{ ...secured.ports[0], scheme: 'ssh' }] }, /in front of http/],
    [
      'a number that is taken',
      { ports: [secured.ports[0], { ...ssh, guest: 443 }] },
      /where a service .* listens/,
    ],
    ['no certificate', { secrets: [] }, /no secret certificate that holds a certificate/],
    [
      'a password for a certificate',
      { secrets: [{ ...secured.secrets[0], holds: undefined }] },
      /holds a cert/,
    ],
    ['no address', { settings: [] }, /no setting domain that is an address/],
  ])('is refused with %s', (_what, change, why) => {
    expect(() => defineService({ ...secured, ...change } as typeof secured)).toThrow(why);
  });
});

test('two ports cannot have one number in the tailnet', () => {
  const [web, ssh] = definition.ports;
  if (web === undefined || ssh === undefined) throw new Error('the definition has two ports');
  expect(() => defineService({ ...definition, ports: [web, { ...ssh, tailnet: 443 }] })).toThrow(
    /two ports have the tailnet's port 443/,
  );
});
