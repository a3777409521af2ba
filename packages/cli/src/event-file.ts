import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EVENTS_VARIABLE, parseEvent, type StepEvent } from '@sovereign/report';

/** How often the file is looked at, in milliseconds. */
const INTERVAL = 100;

export interface EventFile {
  path: string;
  /** Hands over every event as it comes; `stop` hands over what is left first. */
  follow(onEvent: (event: StepEvent) => void): { stop(): void };
  remove(): void;
}

/**
 * Makes the file that every step of this process and of the processes under it is announced in, and names it in
 * the environment. Where the caller named one already, that one is used and kept.
 */
export function eventFile(env: NodeJS.ProcessEnv = process.env): EventFile {
  const given = env[EVENTS_VARIABLE];
  const own = given === undefined || given === '';
  const folder = own ? mkdtempSync(join(tmpdir(), 'sovereign-')) : undefined;
  const path = folder === undefined ? (given ?? '') : join(folder, 'events');
  if (own) {
    writeFileSync(path, '', { mode: 0o600 });
    env[EVENTS_VARIABLE] = path;
  }
  return {
    path,
    follow: (onEvent) => follow(path, onEvent),
    remove: () => {
      if (folder === undefined) return;
      Reflect.deleteProperty(env, EVENTS_VARIABLE);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function follow(path: string, onEvent: (event: StepEvent) => void): { stop(): void } {
  const file = openSync(path, 'a+');
  let offset = fstatSync(file).size;
  let rest = '';
  const decoder = new TextDecoder();
  const buffer = Buffer.alloc(1 << 16);
  const read = () => {
    for (let count; (count = readSync(file, buffer, 0, buffer.length, offset)) > 0; offset += count) {
      const lines = (rest + decoder.decode(buffer.subarray(0, count), { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const event of lines.map(parseEvent)) if (event !== undefined) onEvent(event);
    }
  };
  const timer = setInterval(read, INTERVAL);
  return {
    stop: () => {
      clearInterval(timer);
      read();
      closeSync(file);
    },
  };
}
