import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { SovereignError } from '@sovereign/report';
import type { Session } from './session.ts';

/** Whether a person is there to answer. */
export const canAsk = ({ flags, streams }: Session): boolean =>
  streams.in.isTTY && streams.err.isTTY && !flags.json && !flags.quiet;

/** Asks on standard error, so that standard output holds results alone. */
export async function askText({ streams, signal }: Session, question: string): Promise<string> {
  const lines = createInterface({ input: streams.in, output: streams.err });
  try {
    return (await lines.question(`${question} `, { signal })).trim();
  } finally {
    lines.close();
  }
}

/** Asks without showing what is typed. */
async function askHidden({ streams, signal }: Session, question: string): Promise<string> {
  // A terminal of readline's echoes to its output: to nowhere.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: streams.in, output: nowhere, terminal: true });
  streams.err.write(`${question} `);
  try {
    return await lines.question('', { signal });
  } finally {
    lines.close();
    streams.err.write('\n');
  }
}

/**
 * A secret of one line: typed on a terminal, twice where it is a new one, else from standard input.
 * @param file where it is instead; `-` is standard input
 * @throws SovereignError `usage` where there is nobody to type, `not-the-same`
 */
export async function askSecret(
  session: Session,
  what: string,
  file?: string,
  { twice = true } = {},
): Promise<string> {
  const line = (content: string): string => content.replace(/\r?\n$/, '');
  if (file !== undefined && file !== '-') return line(await readSecretFile(file));
  if (file === '-' || !session.streams.in.isTTY) return line(await text(session.streams.in));
  if (!canAsk(session)) {
    throw new SovereignError({
      code: 'usage',
      what: `nobody can be asked for the ${what} with --json or --quiet`,
      hint: 'Give it on standard input',
      exit: 2,
    });
  }
  const first = await askHidden(session, `${what}:`);
  if (!twice || (await askHidden(session, `${what} again:`)) === first) return first;
  throw new SovereignError({
    code: 'not-the-same',
    what: `the ${what} was typed in two ways`,
    hint: 'Run the command again; nothing was changed',
  });
}

async function readSecretFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const what = 'this file cannot be read';
    throw new SovereignError({ code: 'usage', what, on: file, exit: 2, cause });
  }
}

export async function askYes(session: Session, question: string): Promise<boolean> {
  if (session.flags.yes === true) return true;
  return /^y(es)?$/i.test(await askText(session, `${question} [y/N]`));
}

/**
 * Goes on only when the owner agreed, by an answer or by `--yes`.
 * @throws SovereignError `not-confirmed`
 */
export async function confirm(session: Session, what: string, command: string): Promise<void> {
  if (session.flags.yes === true) return;
  if (canAsk(session) && (await askYes(session, `${what}?`))) return;
  throw notConfirmed(command, 'it was not confirmed', 'Answer with y, or add --yes');
}

/**
 * Goes on only when the owner typed this word, or said `--yes`.
 * @throws SovereignError `not-confirmed`
 */
export async function confirmTyped(
  session: Session,
  question: { text: string; word: string; command: string; refused: string },
): Promise<void> {
  const { text, word, command, refused } = question;
  if (session.flags.yes === true) return;
  if (canAsk(session) && (await askText(session, `${text} Type ${word} to go on:`)) === word) return;
  throw notConfirmed(command, refused, `Type ${word} when asked, or add --yes`);
}

export const notConfirmed = (command: string, what: string, hint: string): SovereignError =>
  new SovereignError({ code: 'not-confirmed', what, on: command, hint });
