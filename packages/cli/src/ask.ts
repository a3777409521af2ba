import { createInterface } from 'node:readline/promises';
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
