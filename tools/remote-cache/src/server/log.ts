export type Level = 'info' | 'warn' | 'error';

/** One event, as one JSON object a line. Tokens are never among the fields. */
export type Log = (level: Level, event: string, fields?: Readonly<Record<string, unknown>>) => void;

export const logTo =
  (stream: NodeJS.WritableStream): Log =>
  (level, event, fields = {}) => {
    stream.write(`${JSON.stringify({ at: new Date().toISOString(), level, event, ...fields })}\n`);
  };
