import { Transform, type TransformCallback } from 'node:stream';
import { SovereignError } from '@sovereign/report';

/** Version of the stream (docs/formats.md, "Backup") that this release makes and reads. */
export const FORMAT = 1;
/** Longest line of the stream in bytes, beyond what two names of PostgreSQL can take. */
const LINE = 4096;

/** What a backup says of itself. */
export interface BackupContents {
  /** `service`, `kind`, `major`, `program`, `device`, `release`… */
  about: Record<string, string>;
  /** Rows by name. */
  counts: Map<string, number>;
}

/**
 * Passes the stream of a backup on and reads it on the way; what is wrong with it ends it at that place.
 * @throws SovereignError `no-backup`, `newer-backup`, `damaged-backup`, `cut-backup`
 */
export class BackupReader extends Transform implements BackupContents {
  readonly about: Record<string, string> = {};
  readonly counts = new Map<string, number>();
  readonly #on: string;
  #line: Buffer[] = [];
  #length = 0;
  /** Bytes of the piece that are still to come. */
  #left = 0;
  #begun = false;
  #ended = false;

  constructor(on: string) {
    super();
    this.#on = on;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      this.#read(chunk);
      done(null, chunk);
    } catch (error) {
      done(error as Error);
    }
  }

  override _flush(done: TransformCallback): void {
    done(this.#ended ? null : this.#wrong('cut-backup', 'the backup ends too soon'));
  }

  #read(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#ended) throw this.#wrong('damaged-backup', 'the backup goes on behind its end');
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at);
        this.#left -= taken;
        at += taken;
        continue;
      }
      const end = chunk.indexOf(10, at);
      const part = chunk.subarray(at, end === -1 ? undefined : end);
      at += part.length + 1;
      this.#length += part.length;
      if (this.#length > LINE) throw this.#wrong('damaged-backup', 'the backup has a line that is too long');
      this.#line.push(part);
      if (end === -1) return;
      const line = Buffer.concat(this.#line).toString();
      this.#line = [];
      this.#length = 0;
      this.#item(line);
    }
  }

  #item(line: string): void {
    const [, word = '', first = '', rest = ''] = /^(\S*) ?(\S*) ?(.*)$/s.exec(line) ?? [];
    if (!this.#begun) {
      if (word !== 'sovereign-backup') throw this.#wrong('no-backup', 'this is no backup of a service');
      if (first !== String(FORMAT))
        throw newer(`it has format ${first}, this release reads ${FORMAT}`, this.#on);
      this.#begun = true;
      return;
    }
    if (word === 'about') this.about[first] = rest;
    else if (word === 'count' && /^\d+$/.test(first)) this.counts.set(rest, Number(first));
    else if (word === 'piece' && /^\d{1,9}$/.test(rest)) this.#left = Number(rest);
    else if (line === 'end') this.#ended = true;
    else throw this.#wrong('damaged-backup', 'the backup has a line that is none of a backup');
  }

  #wrong(code: string, what: string): SovereignError {
    return new SovereignError({
      code,
      what,
      on: this.#on,
      hint: 'Choose another one: sovereign backup list shows them',
    });
  }
}

export const newer = (why: string, on: string): SovereignError =>
  new SovereignError({
    code: 'newer-backup',
    what: `the backup was made by a newer release: ${why}`,
    on,
    hint: 'Bring this checkout and the service up to date, then restore',
  });

/** Parses the lines of `backup count`. */
export function parseCounts(text: string): Map<string, number> {
  const lines = text.split('\n').flatMap((line) => {
    const [, rows, name] = /^count (\d+) (.+)$/.exec(line) ?? [];
    return rows === undefined || name === undefined ? [] : [[name, Number(rows)] as const];
  });
  return new Map(lines);
}

/** What differs between what a backup counted and what is there now, one phrase each. */
export function differences(
  wanted: ReadonlyMap<string, number>,
  found: ReadonlyMap<string, number>,
): string[] {
  const names = [...new Set([...wanted.keys(), ...found.keys()])].sort();
  const rows = (counts: ReadonlyMap<string, number>, name: string): string =>
    String(counts.get(name) ?? 'nothing');
  return names
    .filter((name) => wanted.get(name) !== found.get(name))
    .map((name) => `${name}: ${rows(wanted, name)} in the backup, ${rows(found, name)} restored`);
}
