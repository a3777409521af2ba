import { enableCompileCache } from 'node:module';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// Keeps the start short: V8's code of every module is kept between runs.
enableCompileCache(join(import.meta.dirname, '../../../.nx/compile-cache'));

const argv = process.argv.slice(2);

/** `--version` alone loads nothing else. */
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
  process.stdout.write(`${version()}\n`);
} else {
  const { run } = await import('./run.ts');
  // `sovereign logs sql | head -1`: a reader that has had enough is no failure, and nobody reads any more.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit();
    });
  }
  const streams = { in: process.stdin, out: process.stdout, err: process.stderr };
  process.exitCode = await run(argv, version(), streams);
  // What was waited for may still hold a timer.
  if (process.exitCode === 130) process.exit();
}

function version(): string {
  const file = join(import.meta.dirname, '../../../package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
