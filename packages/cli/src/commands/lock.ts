import { step } from '@sovereign/report';
import { refreshLocks } from '../locks.ts';
import { wordOf } from '../services.ts';
import type { Run } from '../session.ts';
import { nxRun, plan } from './build.ts';

export const lock: Run = async (session) => {
  const run = await nxRun(session, session.chosen, ['lock']);
  if (session.flags.dryRun === true) return plan([run]);
  const changes = await step(`refreshing the locks of ${session.chosen.map(wordOf).join(', ')}`, () =>
    refreshLocks(run),
  );
  return { json: { changes }, text: changes.length === 0 ? 'nothing changed' : changes.join('\n') };
};
