import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Inspection, PlannedTask } from './graph.ts';

/** `open`: only once what comes before it is there can be told whether a result fits. */
export type Outcome = 'cached' | 'run' | 'open';

export interface PlanLine {
  /** `PROJECT:TARGET`. */
  task: string;
  outcome: Outcome;
  /** Why it is not served from the cache; empty where it is. */
  why: string;
}

/** What is known of earlier results. */
export interface Results {
  /** Whether a result is kept under this hash. */
  kept(hash: string): boolean;
  /** When the newest result of a task was made, milliseconds of the epoch; undefined where there is none. */
  newest(task: PlannedTask): number | undefined;
  /** When a file was last written, milliseconds of the epoch; undefined where it is gone. */
  written(file: string): number | undefined;
  /** Whether an output is where the task puts it. */
  there(output: string): boolean;
}

/** Files that are named before the rest is only counted. */
const NAMED = 3;

/** What a run would do with each task, in an order in which it could do it. */
export function planOf({ graph, inputs, hashes }: Inspection, results: Results): PlanLine[] {
  const lines = new Map<string, PlanLine>();
  const add = (id: string): PlanLine => {
    const known = lines.get(id);
    if (known !== undefined) return known;
    const before = (graph.dependencies[id] ?? []).map(add);
    const line = { task: id, ...lineOf(id, before) };
    lines.set(id, line);
    return line;
  };
  const lineOf = (id: string, before: readonly PlanLine[]): Omit<PlanLine, 'task'> => {
    const task = graph.tasks[id];
    if (task?.cache !== true) return { outcome: 'run', why: 'it is never cached' };
    const running = before.filter(({ outcome }) => outcome !== 'cached').map((line) => line.task);
    if (running.length > 0)
      return { outcome: 'open', why: `it depends on what comes out of ${running.join(', ')}` };
    if (results.kept(hashes[id] ?? '')) return { outcome: 'cached', why: '' };
    // The hash holds what tasks before it made, so it is not the right one while that is not there.
    const absent = before.filter((line) =>
      graph.tasks[line.task]?.outputs.some((path) => !results.there(path)),
    );
    if (absent.length > 0) {
      return {
        outcome: 'open',
        why: `what ${absent.map((line) => line.task).join(', ')} made is to be restored first`,
      };
    }
    const newest = results.newest(task);
    if (newest === undefined) return { outcome: 'run', why: 'there is no earlier result of it here' };
    const newer = (inputs[id]?.files ?? []).filter((file) => (results.written(file) ?? 0) > newest).sort();
    const rest = newer.length > NAMED ? ` and ${newer.length - NAMED} more` : '';
    return newer.length > 0
      ? { outcome: 'run', why: `newer than its last result: ${newer.slice(0, NAMED).join(', ')}${rest}` }
      : {
          outcome: 'run',
          why: 'a variable, a package or a setting is another one than before, or a file is gone',
        };
  };
  for (const id of Object.keys(graph.tasks).sort()) add(id);
  return [...lines.values()];
}

/** Results as Nx keeps them in the workspace: a folder a hash, and a database that tells of which task each one is. */
export function nxResults(root: string): Results & { close(): void } {
  const folder = join(root, '.nx/workspace-data');
  const database = existsSync(folder) ? readdirSync(folder).find((name) => name.endsWith('.db')) : undefined;
  const open =
    database === undefined ? undefined : new DatabaseSync(join(folder, database), { readOnly: true });
  const query = open?.prepare(
    `select max(unixepoch(created_at)) as at from cache_outputs join task_details using (hash)
     where code = 0 and project = ? and target = ? and ifnull(configuration, '') = ?`,
  );
  return {
    kept: (hash) => existsSync(join(root, '.nx/cache', hash)),
    newest: ({ target: { project, target, configuration = '' } }) => {
      const { at } = (query?.get(project, target, configuration) ?? {}) as { at?: number | null };
      return typeof at === 'number' ? at * 1000 : undefined;
    },
    written: (file) => statSync(join(root, file), { throwIfNoEntry: false })?.mtimeMs,
    // An output with a placeholder may be of no file.
    there: (output) => /[*{]/.test(output) || existsSync(join(root, output)),
    close: () => open?.close(),
  };
}
