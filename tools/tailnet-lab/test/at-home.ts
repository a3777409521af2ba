import { join } from 'node:path';
import { execInGuest, localDevice } from '@sovereign/device';
import { loadService } from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';

/** What is asked: the service's state, or what a script in the guest prints, which reads `input`. */
export type Question =
  { id: number; ask: 'status' } | { id: number; ask: 'guest'; script: string; input: string };

/** `error` where it failed. */
export interface Answer {
  id: number;
  value?: unknown;
  error?: string;
}

/**
 * For the local device's own namespaces: answers its parent's questions as the command line would, which takes half a
 * second of a core to start, and tests ask some hundred times.
 */
async function answer(question: Question): Promise<unknown> {
  if (question.ask === 'status') return (await device.status([definition]))[0];
  const argv = ['sh', '-c', question.script];
  const { input } = question;
  const ran = await execInGuest(await device.ssh(definition), argv, input === '' ? {} : { input });
  if (ran.status === 0) return ran.stdout;
  throw new Error(`${question.script}: exit ${ran.status}: ${ran.stderr}`);
}

const { definition } = await loadService(join(workspaceRoot(), 'packages/rootfs-sql'));
const device = localDevice();
process.on('message', (question: Question) => {
  const { id } = question;
  answer(question).then(
    (value) => process.send?.({ id, value } satisfies Answer),
    (error: unknown) => process.send?.({ id, error: String(error) } satisfies Answer),
  );
});
