import { CACHED, inspect } from './graph.ts';

/** Prints what decides the tasks of the workspace in the current folder, as JSON: Nx keeps workers and caches. */
const { inputs, hashes } = await inspect(process.cwd(), CACHED);
process.stdout.write(JSON.stringify({ inputs, hashes }), () => process.exit(0));
