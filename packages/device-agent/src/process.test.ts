import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'sovereign process '));
mkdirSync(join(folder, 'state'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Records itself, then again with nothing left that could change a file. */
const twice = `
set -uf
cd "$1"
for part in say state process; do . "$2/$part.sh"; done
self_pid
record launcher- "$self" || exit 1
put() { echo "wrote $1"; }
rm() { echo "removed $*"; }
record launcher- "$self" && alive launcher- && echo alive
record launcher- 1`;

describe.each([[['dash']], [['mksh']], [['busybox', 'ash']]])('under %s', (shell) => {
  test('the record of a process that takes over by exec stays as it is, another one replaces it', () => {
    const argv = [...shell.slice(1), '-c', twice, 'twice', folder, join(import.meta.dirname, 'lib')];
    const said = execFileSync(shell[0] ?? '', argv, { encoding: 'utf8' })
      .trim()
      .split('\n');
    expect(said).toEqual([
      'alive',
      'removed -f state/launcher-pid',
      'wrote state/launcher-boot',
      'wrote state/launcher-start',
      'wrote state/launcher-pid',
    ]);
  });
});
