import { readFile } from 'node:fs/promises';
import { SovereignError } from '@sovereign/report';
import { z } from 'zod';
import type { Exception } from './check.ts';

const schema = z.strictObject({
  exceptions: z.array(
    z.strictObject({
      symbol: z.string().regex(/^(?!CONFIG_)\w+$/, 'a symbol without CONFIG_'),
      comesOut: z.string(),
      reason: z.string().min(20, 'a reason that a reader understands'),
    }),
  ),
});

/** Reads `allow.json`: requests that may come out otherwise than asked, each with its reason. */
export async function readAllowed(path: string): Promise<Exception[]> {
  const parsed = schema.safeParse(JSON.parse(await readFile(path, 'utf8')));
  if (parsed.success) return parsed.data.exceptions;
  throw new SovereignError({
    code: 'bad-allow-list',
    what: `the exceptions of the kernel configuration are not well-formed: ${z.prettifyError(parsed.error).replaceAll('\n', ' ')}`,
    on: path,
    hint: 'Give each entry symbol, comesOut and reason',
  });
}
