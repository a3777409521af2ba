import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bind, RunOptions } from './run.ts';

/** What a program printed, by stream, and the status that it ended with. */
export interface Apart {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** `sh -c SCRIPT PREFIX COMMAND...`: leaves what a command prints and its status in files. */
const SCRIPT = '"$@" >"$0.stdout" 2>"$0.stderr"; echo $? >"$0.status"';

/**
 * Runs a program whose two streams are wanted one by one, and that may fail: the tools' own `run` joins them, and tells
 * of a program that fails no more than its last lines.
 * @param folder bound for writing; `NAME.stdout`, `NAME.stderr` and `NAME.status` are left in it
 * @throws SovereignError where the program could not be run at all
 */
export async function runApart<Options extends RunOptions>(
  tools: { run(argv: readonly string[], options: Options): Promise<void> },
  argv: readonly string[],
  { folder, name, options }: { folder: Bind; name: string; options: Options },
): Promise<Apart> {
  await tools.run(['sh', '-c', SCRIPT, `${folder.target}/${name}`, ...argv], options);
  const read = (stream: string) => readFile(join(folder.source, `${name}.${stream}`), 'utf8');
  const [status, stdout, stderr] = await Promise.all([read('status'), read('stdout'), read('stderr')]);
  return { exitCode: Number(status), stdout, stderr };
}
