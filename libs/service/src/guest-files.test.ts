import { expect, test } from 'vitest';
import { defineService } from './definition.ts';
import { serviceFiles } from './guest-files.ts';

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

test('two ports cannot have one number in the tailnet', () => {
  const [web, ssh] = definition.ports;
  if (web === undefined || ssh === undefined) throw new Error('the definition has two ports');
  expect(() => defineService({ ...definition, ports: [web, { ...ssh, tailnet: 443 }] })).toThrow(
    /two ports have the tailnet's port 443/,
  );
});
