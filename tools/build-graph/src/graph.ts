import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { ProjectGraph } from '@nx/devkit';

/** What decides the hash of a task, as Nx itself lists it. */
export interface TaskInputs {
  /** Paths in the workspace. */
  files: string[];
  /** Names of variables. */
  environment: string[];
  /** Commands. */
  runtime: string[];
  /** Packages. */
  external: string[];
}

/** A task as Nx is about to run it. */
export interface PlannedTask {
  id: string;
  target: { project: string; target: string; configuration?: string };
  cache?: boolean;
  /** Paths in the workspace. */
  outputs: string[];
}

export interface TaskGraph {
  tasks: Record<string, PlannedTask>;
  /** What each task waits for. */
  dependencies: Record<string, string[]>;
}

interface Hasher {
  hashTasks(
    tasks: readonly PlannedTask[],
    graph: TaskGraph,
    environments: Readonly<Record<string, NodeJS.ProcessEnv>>,
  ): Promise<{ value: string }[]>;
}

/** The parts of Nx that `nx show target inputs` is made of. They are no public interface: the version is pinned. */
interface Internals {
  createProjectGraphAsync: (options: { exitOnError: boolean }) => Promise<ProjectGraph>;
  createTaskGraph: (
    graph: ProjectGraph,
    extra: object,
    projects: readonly string[],
    targets: readonly string[],
    configuration: undefined,
    overrides: object,
  ) => TaskGraph;
  createTaskHasher: (graph: ProjectGraph, nxJson: object) => Hasher;
  readNxJson: (root: string) => object;
  HashPlanInspector: new (
    graph: ProjectGraph,
    root: string,
  ) => {
    init(): Promise<void>;
    planner: { getPlansReference(tasks: readonly string[], graph: TaskGraph): unknown };
    inspector: { inspectInputs(plans: unknown): Record<string, TaskInputs> };
  };
}

function internals(root: string): Internals {
  const load = createRequire(join(root, 'package.json'));
  const from = (path: string) => load(join(root, 'node_modules/nx/dist/src', path)) as Partial<Internals>;
  return {
    ...from('project-graph/project-graph.js'),
    ...from('tasks-runner/create-task-graph.js'),
    ...from('hasher/create-task-hasher.js'),
    ...from('hasher/hash-plan-inspector.js'),
    ...from('config/nx-json.js'),
  } as Internals;
}

export interface Wanted {
  targets: readonly string[];
  /** Without it, every project of the workspace. */
  projects?: readonly string[];
}

/** The targets that make something or check something; the others are never cached. */
export const CACHED: Wanted = { targets: ['lint', 'typecheck', 'test', 'build', 'config'] };

export interface Inspection {
  graph: TaskGraph;
  /** By `PROJECT:TARGET`, of the tasks that are cached. */
  inputs: Record<string, TaskInputs>;
  /** What Nx keeps their results under, with what lies in `dist` now. */
  hashes: Record<string, string>;
}

/** What Nx would do. Asked in a process of its own, in the workspace, without a daemon. */
export async function inspect(root: string, { targets, projects }: Wanted): Promise<Inspection> {
  const { createProjectGraphAsync, createTaskGraph, createTaskHasher, HashPlanInspector, readNxJson } =
    internals(root);
  const workspace = await createProjectGraphAsync({ exitOnError: false });
  const has = (name: string) =>
    targets.some((target) => workspace.nodes[name]?.data.targets?.[target] !== undefined);
  const chosen = (projects ?? Object.keys(workspace.nodes)).filter(has);
  const graph = createTaskGraph(workspace, {}, chosen, targets, undefined, {});
  const cached = Object.values(graph.tasks).filter(({ cache }) => cache === true);
  const ids = cached.map(({ id }) => id);

  const inspector = new HashPlanInspector(workspace, root);
  await inspector.init();
  const inputs = inspector.inspector.inspectInputs(inspector.planner.getPlansReference(ids, graph));
  const hasher = createTaskHasher(workspace, readNxJson(root));
  const environments = Object.fromEntries(ids.map((id) => [id, process.env]));
  const values = await hasher.hashTasks(cached, graph, environments);
  return {
    graph,
    inputs,
    hashes: Object.fromEntries(ids.map((id, index) => [id, values[index]?.value ?? ''])),
  };
}
