export interface GoModule {
  path: string;
  version: string;
  /** Hash of the module as go.sum has it, `h1:…`; empty where it is not recorded. */
  sum: string;
}

/** What the Go linker writes into every program. */
export interface GoBuildInfo {
  /** Version of Go: `go1.26.8`. */
  go: string;
  /** Import path of the main package. */
  path: string;
  /** The module that the main package lies in. */
  main: GoModule;
  /** Modules that it is linked with, as they were replaced. */
  modules: GoModule[];
}

const magic = Buffer.from('\xff Go buildinf:', 'latin1');
/** Behind the magic: size of a pointer, then a bit that says that the strings follow in place. */
const HEADER = 32;
const IN_PLACE = 2;

/**
 * Reads what a Go program says of itself; undefined for another file.
 * @see https://pkg.go.dev/debug/buildinfo
 */
export function goBuildInfo(program: Buffer): GoBuildInfo | undefined {
  for (let at = program.indexOf(magic); at >= 0; at = program.indexOf(magic, at + 1)) {
    // The linker puts it at a multiple of 16; elsewhere it is a program that looks for it.
    if (at % 16 !== 0 || ((program[at + 15] ?? 0) & IN_PLACE) === 0) continue;
    const [go, behind] = stringAt(program, at + HEADER);
    const [text] = stringAt(program, behind);
    // 16 bytes before and behind tell the linker's own markers.
    if (go.startsWith('go')) return parseModules(go, text.slice(16, -16));
  }
  return undefined;
}

/** A string with its length before it (encoding/binary, Uvarint), and where the next one begins. */
function stringAt(program: Buffer, at: number): [string, number] {
  let length = 0;
  let shift = 0;
  let next = at;
  for (; ; next++, shift += 7) {
    const byte = program[next] ?? 0;
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80 || shift > 28) break;
  }
  const start = next + 1;
  // The markers are no UTF-8, and have to count as one character a byte.
  return [program.toString('latin1', start, start + length), start + length];
}

function parseModules(go: string, text: string): GoBuildInfo {
  const info: GoBuildInfo = { go, path: '', main: { path: '', version: '', sum: '' }, modules: [] };
  for (const line of text.split('\n')) {
    const [word, path = '', version = '', sum = ''] = line.split('\t');
    if (word === 'path') info.path = path;
    else if (word === 'mod') info.main = { path, version, sum };
    else if (word === 'dep') info.modules.push({ path, version, sum });
    else if (word === '=>') info.modules.splice(-1, 1, { path, version, sum });
  }
  return info;
}
