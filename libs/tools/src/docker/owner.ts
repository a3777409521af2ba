import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import type Docker from 'dockerode';

/** Label of every container of ours; its value says which process it runs for. */
export const OWNER_LABEL = 'sovereign.tools.owner';

/** A process, so that another one is never taken for it: a number alone comes again. */
export interface Owner {
  /** Where its number means something: one boot of one machine, and the process namespace there. */
  place: string;
  pid: number;
  /** Clock ticks after boot; empty where the system does not tell. */
  start: string;
}

/** A container of a place that cannot be looked into is left alone for this long, in seconds. */
const FOREIGN_AGE = 3600;

/** When a process was started, undefined where it is none. Field 22 of /proc/PID/stat, proc(5). */
function startOf(pid: number | 'self'): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name before may hold spaces and brackets.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function placeOf(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return hostname();
  }
}

export const thisOwner = (): Owner => ({ place: placeOf(), pid: process.pid, start: startOf('self') ?? '' });

export const ownerLabel = ({ place, pid, start }: Owner): string => JSON.stringify([place, pid, start]);

export function parseOwner(label: string | undefined): Owner | undefined {
  try {
    const [place, pid, start] = JSON.parse(label ?? '') as unknown[];
    if (typeof place !== 'string' || typeof pid !== 'number' || typeof start !== 'string') return undefined;
    return { place, pid, start };
  } catch {
    return undefined;
  }
}

function lives({ pid, start }: Owner): boolean {
  if (start !== '') return startOf(pid) === start;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** What a list of containers tells of one. */
interface Listed {
  Labels: Readonly<Record<string, string>>;
  State: string;
  /** Seconds of the epoch. */
  Created: number;
}

/**
 * Whether nobody waits for a container any more. What belongs to another machine, boot or process namespace is only
 * judged by its state and age: its processes cannot be seen from here.
 */
export function isOrphan(listed: Listed, now = Date.now() / 1000, here = placeOf()): boolean {
  const owner = parseOwner(listed.Labels[OWNER_LABEL]);
  if (owner?.place === here) return !lives(owner);
  return listed.State !== 'running' && now - listed.Created > FOREIGN_AGE;
}

/** Removes the containers of runs that were killed. */
export async function removeOrphans(docker: Docker): Promise<void> {
  const all = await docker.listContainers({ all: true, filters: { label: [OWNER_LABEL] } });
  for (const listed of all.filter((one) => isOrphan(one))) {
    // Another run, or the engine itself, may be faster.
    await docker
      .getContainer(listed.Id)
      .remove({ force: true })
      .catch(() => undefined);
  }
}
