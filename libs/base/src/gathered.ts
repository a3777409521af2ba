/** Bytes that are handed on at a time, and those that a piece of its own has. */
const GATHER = 1 << 18;
const LARGE = 1 << 16;

/**
 * Joins the small pieces of a stream: most of a tar's are single headers, and each would be a turn of its own through
 * what compresses or writes them.
 */
export async function* gathered(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces) {
    const large = piece.length >= LARGE;
    if (!large) {
      held.push(piece);
      length += piece.length;
    }
    if (length > 0 && (large || length >= GATHER)) {
      yield Buffer.concat(held, length);
      held = [];
      length = 0;
    }
    if (large) yield piece;
  }
  if (length > 0) yield Buffer.concat(held, length);
}
