import { CACHED, inspect, type Wanted } from './graph.ts';
import { nxResults, planOf } from './plan.ts';

/**
 * Prints as JSON what decides the tasks of the workspace in the current folder; with `plan` and what is wanted (JSON),
 * what a run would do with each. A process of its own, since Nx keeps workers and caches.
 */
async function answer([verb, wanted]: string[]): Promise<object> {
  const root = process.cwd();
  if (verb === undefined) return inspect(root, CACHED);
  if (verb !== 'plan' || wanted === undefined) throw new Error('usage: main.ts [plan JSON]');
  const results = nxResults(root);
  try {
    return planOf(await inspect(root, JSON.parse(wanted) as Wanted), results);
  } finally {
    results.close();
  }
}

process.stdout.write(JSON.stringify(await answer(process.argv.slice(2))), () => process.exit(0));
