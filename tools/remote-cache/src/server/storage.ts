import type { Writable } from 'node:stream';

export interface Found {
  /** Bytes. */
  size: number;
  /** SHA-256, checked over all bytes before this was given. */
  sha256: string;
  /** Writes all bytes and ends the stream. */
  sendTo(target: Writable): Promise<void>;
  /** To be called once, also after an error. */
  close(): Promise<void>;
}

export interface Incoming {
  body: AsyncIterable<Uint8Array>;
  /** What the sender says of the body: bytes, and 64 hex digits where it names them. */
  size: number;
  sha256: string | undefined;
}

/** `exists`: there was an entry already, and it stays as it is. */
export type Stored = 'stored' | 'exists';

/** Where entries are kept. Keys are decimal numbers. */
export interface Storage {
  /** Undefined for what is not there, and for what is there and damaged. */
  get(key: string): Promise<Found | undefined>;
  has(key: string): Promise<boolean>;
  /**
   * All or nothing, and never over an entry that is there.
   * @throws BadBody where the body is not what the sender says
   */
  put(key: string, incoming: Incoming): Promise<Stored>;
  /** Fails where entries can neither be read nor written now. */
  check(): Promise<void>;
}

/** The body is not what the sender said of it. */
export class BadBody extends Error {}

/** @throws BadBody where size or digest differ */
export function compare(said: Incoming, got: { size: number; sha256: string }): void {
  if (got.size !== said.size) throw new BadBody(`${got.size} bytes came, Content-Length says ${said.size}`);
  if (said.sha256 !== undefined && said.sha256 !== got.sha256) {
    throw new BadBody(`the digest is ${got.sha256}, the sender says ${said.sha256}`);
  }
}
