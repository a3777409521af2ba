import { mkdir } from 'node:fs/promises';
import { SovereignError, toSovereignError } from '@sovereign/report';
import { FolderStorage } from './server/folder.ts';
import { logTo } from './server/log.ts';
import { serve } from './server/server.ts';
import { LISTEN, passing, readSettings } from './server/settings.ts';
import type { Storage } from './server/storage.ts';
import { readTokens } from './server/tokens.ts';

const log = logTo(process.stdout);

/**
 * Runs the server of the remote cache until it is asked to stop; with `--check` only says whether the settings can be
 * used. docs/ci.md tells them.
 */
async function main([option]: string[]): Promise<void> {
  const settings = readSettings(process.env);
  const { host, port, folder, limit, artifactLimit, s3 } = settings;
  const tokens = await readTokens(settings.tokens);
  // Without it the server is smaller.
  const { S3Storage } = s3 === undefined ? {} : await import('./server/s3.ts');
  if (option === '--check') return;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const storage: Storage =
    s3 === undefined || S3Storage === undefined
      ? await FolderStorage.open({ folder, limit, log })
      : new S3Storage(s3, passing(settings), artifactLimit);
  const server = await serve({ storage, tokens, log, artifactLimit, host, port }).catch((cause: unknown) => {
    throw new SovereignError({
      code: 'not-listening',
      what: `the server cannot listen: ${(cause as Error).message}`,
      on: `${host}:${port}`,
      hint: `End what listens there, or name another address in ${LISTEN}`,
      cause,
    });
  });
  log('info', 'started', {
    url: server.url,
    storage: s3 === undefined ? folder : `${s3.endpoint}/${s3.bucket}`,
  });
  const name = await new Promise<string>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(signal));
  });
  log('info', 'stopping', { signal: name });
  await server.stop();
  log('info', 'stopped');
}

try {
  await main(process.argv.slice(2));
} catch (thrown) {
  const { what, on, hint, exit } = toSovereignError(thrown);
  process.stderr.write(
    [
      `error: ${what}`,
      ...(on === undefined ? [] : [`   on: ${on}`]),
      ...(hint === undefined ? [] : [` next: ${hint}`]),
    ]
      .map((line) => `${line}\n`)
      .join(''),
  );
  process.exitCode = exit;
}
