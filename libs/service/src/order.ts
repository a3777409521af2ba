import { SovereignError } from '@sovereign/report';
import type { ServiceDefinition } from './definition.ts';
import { needsOf, settingValues, type SettingValues } from './settings.ts';

type Needing = Pick<ServiceDefinition, 'name' | 'needs' | 'settings'>;

/**
 * Services in the order in which they are started: each behind those that it needs as its owner's settings are, which
 * are added where they were not asked for.
 * @param own the owner's settings of a service
 * @throws SovereignError `unknown-need`, `needs-cycle`
 */
export function startOrder<Service extends Needing>(
  wanted: readonly Service[],
  all: readonly Service[],
  own: (service: string) => SettingValues,
): Service[] {
  const order: Service[] = [];
  const visit = (service: Service, above: readonly string[]): void => {
    if (order.includes(service)) return;
    const path = [...above, service.name];
    if (above.includes(service.name)) throw cycle(path.slice(path.indexOf(service.name)));
    for (const { service: name } of needsOf(service, settingValues(service, own(service.name)))) {
      const needed = all.find((one) => one.name === name);
      if (needed === undefined) throw unknown(service.name, name);
      visit(needed, path);
    }
    order.push(service);
  };
  for (const service of wanted) visit(service, []);
  return order;
}

const cycle = (path: readonly string[]): SovereignError =>
  new SovereignError({
    code: 'needs-cycle',
    what: 'these services wait for each other',
    on: path.join(' needs '),
    hint: 'Change a setting by which one needs another: sovereign settings SERVICE',
    exit: 2,
  });

const unknown = (service: string, needed: string): SovereignError =>
  new SovereignError({
    code: 'unknown-need',
    what: `it needs ${needed}, and the workspace has no such service`,
    on: service,
    hint: 'Correct its service.config.ts, or the setting by which it needs that: sovereign settings',
    exit: 2,
  });
