import { note } from '@sovereign/report';
import type { FoundService } from '@sovereign/service';
import { affectedServices } from '../affected.ts';
import { askYes, canAsk } from '../ask.ts';
import { chooseBase } from '../base.ts';
import { consentTo, phoneOptions } from '../consent.ts';
import { announce } from '../device.ts';
import { runRefreshing } from '../locks.ts';
import { toArgs, type NxRun } from '../nx.ts';
import { servicesOnBase } from '../on-base.ts';
import { wordOf } from '../services.ts';
import type { Result, Run, Session } from '../session.ts';
import { planTasks, taskLine } from '../task-plan.ts';
import { withTailnet } from '../tailnet-flags.ts';

/** Projects whose artifacts every service needs beside its own image. */
const shared = ['kernel', 'device-agent'];

export const build: Run = async (session) => {
  const services = await servicesOnBase(session, await affectedServices(session));
  if (services.length === 0) return nothingAffected;
  const { projects, ...rest } = await nxRun(session, services, ['build']);
  const run = { ...rest, projects: [...projects, ...shared] };
  if (session.flags.dryRun === true) {
    const tasks = await planTasks(run);
    const planned = plan([run], tasks.map(taskLine));
    return { ...planned, json: { ...planned.json, tasks } };
  }
  if (session.flags.verbose) await sayWhy(run);
  await runRefreshing(session, run);
  const names = services.map(wordOf);
  return { json: { built: names }, text: `built: ${names.join(', ')}` };
};

/** Says of each task that will not come from the cache why that is. To look must not keep anybody from building. */
async function sayWhy(run: NxRun): Promise<void> {
  try {
    for (const task of await planTasks(run)) if (task.outcome !== 'cached') note(taskLine(task));
  } catch (error) {
    run.signal.throwIfAborted();
    note((error as Error).message);
  }
}

export const deploy: Run = async (session) => {
  const services = await servicesOnBase(session, await affectedServices(session));
  if (services.length === 0) return nothingAffected;
  const device = await session.devices.pick();
  return withTailnet(session, device, async (tailnet) => {
    const options = { device: device.id, ...phoneOptions(session), ...tailnet };
    const run = await nxRun(session, services, ['deploy'], options);
    if (session.flags.dryRun === true) return plan([run]);
    announce(device);
    const env = await consentTo(session, device);
    await runRefreshing(session, { ...run, env });
    const names = services.map(wordOf);
    return {
      json: { device: device.id, deployed: names },
      text: `deployed on ${device.id}: ${names.join(', ')}`,
    };
  });
};

export const nothingAffected: Result = { json: { affected: [] }, text: 'no service is affected' };

/** One run of Nx over these services, with the base that this checkout uses. */
export async function nxRun(
  session: Session,
  services: readonly FoundService[],
  targets: readonly string[],
  options: NonNullable<NxRun['options']> = {},
): Promise<NxRun & { projects: readonly string[] }> {
  const { root, flags, signal } = session;
  const ask =
    canAsk(session) || flags.yes === true ? (question: string) => askYes(session, question) : undefined;
  if (flags.dryRun === true) note('dry run: nothing is done');
  return {
    root,
    targets,
    projects: services.map(({ project }) => project),
    options,
    // A dry run records no choice.
    base: flags.dryRun === true ? flags.base : await chooseBase({ root, wanted: flags.base, ask }),
    tools: flags.tools,
    verbose: flags.verbose,
    signal,
  };
}

interface Plan extends Result {
  json: { plan: string[] };
}

/** What --dry-run says instead of doing it. */
export function plan(runs: readonly NxRun[], further: readonly string[] = []): Plan {
  const lines = [...runs.map((run) => `nx ${toArgs(run).join(' ')}`), ...further];
  return { json: { plan: lines }, text: lines.join('\n') };
}
