import { bases, type Base, type ServiceDefinition } from './definition.ts';
import { tailnetTarget } from './tailnet-rules.ts';

/** A file of the root file system that is generated from the definition; path without a leading slash. */
export interface GuestFile {
  path: string;
  content: string;
}

/** OpenRC services that every guest has, in the order in which they start. */
export const guestUnits = ['agent', 'network', 'ssh', 'data'] as const;

/**
 * What the guest's scripts read of the service definition: `/etc/sovereign/service.conf`, KEY VALUE lines, the value
 * being the rest of the line (docs/formats.md, "Guest").
 */
export function serviceFiles(definition: ServiceDefinition, base: Base): GuestFile[] {
  const { name, data, ports, units, health } = definition;
  const lines: [key: string, value: string | number][] = [
    ['schema', 1],
    ['name', name],
    ['base', base],
    ['data-kind', data.kind],
    ['data-major', data.major],
    ['data-collation', data.collation],
    // Bases whose data this image opens: a test opens the disk of each with the other.
    ['data-bases', bases.filter((name) => definition.bases[name] !== undefined).join(' ')],
    ...(data.programs ? [['data-programs', 'yes'] as [string, string]] : []),
    ...ports.map((port): [string, string] => ['port', `${port.name} ${port.guest}`]),
    ...ports.flatMap((port): [string, string][] =>
      port.tailnet === undefined ? [] : [['tailnet', `${port.name} ${port.tailnet} ${tailnetTarget(port)}`]],
    ),
    ...ports.flatMap(({ name, guest, tailnet, tls }): [string, string][] =>
      tls === undefined ? [] : [['tls', `${name} ${tailnet} ${guest} ${tls.certificate} ${tls.address}`]],
    ),
    ['units', [...guestUnits, ...units].join(' ')],
    ['health', health.command],
  ];
  return [
    {
      path: 'etc/sovereign/service.conf',
      content: lines.map(([key, value]) => `${key} ${value}\n`).join(''),
    },
  ];
}
