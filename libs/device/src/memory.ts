import { SovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import type { DeviceReport } from './device-report.ts';

type Guest = Pick<ServiceDefinition, 'name' | 'resources'>;

/**
 * Refuses what a device has no memory for, before anything is started. A guest takes its memory bit by bit: what those
 * that run have not touched yet is still theirs.
 * @param all every service of the workspace
 * @throws SovereignError `no-memory`, with the arithmetic
 */
export function requireMemory(
  device: string,
  { agent, memory }: Pick<DeviceReport, 'agent' | 'memory'>,
  asked: readonly Guest[],
  all: readonly Guest[],
): void {
  if (memory === undefined) return;
  const runs = ({ name }: Guest): boolean => agent.get(name)?.pid !== undefined;
  const running = all.filter(runs);
  const fresh = asked.filter((guest) => !runs(guest));
  if (fresh.length === 0) return;
  const needed = sum([...running, ...fresh]);
  const has = memory.available + memory.guests;
  if (needed <= has) return;
  const parts = [
    ...running.map(({ name, resources }) => `${name} ${resources.memory} (runs)`),
    ...fresh.map(({ name, resources }) => `${name} ${resources.memory}`),
  ];
  const guests = running.length === 0 ? '' : `, of which running guests hold ${memory.guests}`;
  throw new SovereignError({
    code: 'no-memory',
    what: `too little memory: ${parts.join(' + ')} = ${needed} MiB, and the device has ${has} MiB for guests${guests}`,
    on: device,
    hint: 'Stop a service with sovereign down, or close what else uses memory there',
  });
}

const sum = (guests: readonly Guest[]): number =>
  guests.reduce((total, { resources }) => total + resources.memory, 0);
