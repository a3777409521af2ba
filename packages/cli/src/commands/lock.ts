import { step } from '@sovereign/report';
import { refreshLocks } from '../locks.ts';
import type { NxRun } from '../nx.ts';
import type { Run } from '../session.ts';
import { nxRun, plan } from './build.ts';

export const lock: Run = async (session) => {
  const { projects, ...rest } = await nxRun(session, session.chosen, ['lock']);
  // Without a service every lock is meant, the build tools' too.
  const run: NxRun = session.named ? { ...rest, projects } : rest;
  if (session.flags.dryRun === true) return plan([run]);
  const changes = await step('refresh the locks', () => refreshLocks(run));
  return { json: { changes }, text: changes.length === 0 ? 'nothing changed' : changes.join('\n') };
};
