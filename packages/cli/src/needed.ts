import type { Device } from '@sovereign/device';
import { note } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import { wordOf } from './services.ts';
import type { Session } from './session.ts';

/** These services and those that they need on this device, in the order in which they are started; says which came. */
export async function withNeeded(
  { services: all }: Session,
  device: Device,
  asked: readonly FoundService[],
): Promise<FoundService[]> {
  const definitions = (list: readonly FoundService[]) => list.map(({ definition }) => definition);
  const order = await device.startOrder(definitions(asked), definitions(all));
  const services = order.flatMap(({ name }) => all.find(({ definition }) => definition.name === name) ?? []);
  const added = services.filter((service) => !asked.includes(service));
  if (added.length > 0)
    note(`${asked.map(wordOf).join(', ')} also needs ${added.map(wordOf).join(', ')} on ${device.id}`);
  return services;
}
