import { toSovereignError, type SovereignError } from '@sovereign/report';
import type { Streams } from './session.ts';

interface Style {
  json: boolean;
  verbose: boolean;
}

/** Prints an error in three lines (and as the one JSON document, where asked) and gives its exit status. */
export function printError(thrown: unknown, { out, err }: Streams, { json, verbose }: Style): number {
  const error = toSovereignError(thrown);
  err.write(`${errorLines(error).join('\n')}\n`);
  if (verbose) err.write(`${trace(error)}\n`);
  if (json) out.write(`${JSON.stringify({ error: error.report() }, null, 2)}\n`);
  return error.exit;
}

/** What failed, on what, and what to do next. */
export function errorLines({ what, on, hint }: SovereignError): string[] {
  return [
    `error: ${what}`,
    ...(on === undefined ? [] : [`   on: ${on}`]),
    ...(hint === undefined ? [] : [` next: ${hint}`]),
  ];
}

function trace(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by: ${trace(error.cause)}` : '';
  return `${error.stack ?? error.message}${cause}`;
}
