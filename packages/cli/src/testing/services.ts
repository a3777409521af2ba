import { defineService, type FoundService } from '@sovereign/service';

/** A stand-in service of a made-up workspace. */
export function service(name: string, index: number, project = `rootfs-${name}`): FoundService {
  const definition = defineService({
    name,
    title: `The ${name} service`,
    net: { index },
    bases: { debian: { packages: ['x'] } },
    accounts: [],
    resources: { memory: 128, cpus: 1 },
    data: { kind: name, major: 1, collation: 'none', size: 64 },
    ports: [
      { name: 'main', guest: 5432, host: 15432, tailnet: 5432, scheme: 'postgresql', user: 'postgres' },
    ],
    secrets: [{ name: 'postgres-password', make: 'password', description: 'of the superuser' }],
    units: [name],
    health: { command: '/usr/lib/health', deadline: 30 },
  });
  return { project, folder: `/nowhere/packages/${project}`, definition };
}

export const three = [service('sql', 2), service('vaultwarden', 3), service('forgejo', 4)];
