import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { shells, StandInGuest } from './testing/scripts.ts';

const library = join(import.meta.dirname, 'overlay/usr/lib/sovereign');

/** A service whose data is one file: the least that a service's `backup` has to be. */
const toy = `
. "${library}/common.sh"
. "${library}/data.sh"
. "${library}/backup.sh"
restore_piece() {
  [ "$1" = notes ] || return
  content_or_cut "$1" "$2" | cat >"$RUN/restored"
}
verb=$1
shift
backup_work
case $verb in
create)
  backup_head "$@" && echo 'count 2 notes' && pieces notes <"$RUN/notes" && echo end
  ;;
restore) backup_restore && backup_restored ;;
esac
`;

const service = (name: string, major = 3): string =>
  [
    `name ${name}`,
    'base debian',
    'data-kind notes',
    `data-major ${major}`,
    'data-collation C',
    'data-bases debian',
    '',
  ].join('\n');

/** More than two of the smallest pieces, with lines in it that look like the stream's own. */
const notes = `piece notes 0\nend\n${'a note\n'.repeat(20_000)}no line end`;

describe.each(shells)('%s', (_name, shell) => {
  function guest(): {
    made: StandInGuest;
    backup: (words: string[], input?: string) => ReturnType<StandInGuest['call']>;
  } {
    const made = new StandInGuest(shell);
    onTestFinished(async () => {
      await made.remove();
      vi.unstubAllEnvs();
    });
    made.write('service.conf', service('toy'));
    made.write('notes', notes);
    made.program('backup', toy);
    return { made, backup: (words, input = '') => made.call(made.path('bin/backup'), words, input) };
  }
  const restoring = (made: StandInGuest): boolean => existsSync(made.path('restoring'));

  test('what was written is read back, byte by byte, in pieces that fit into memory', () => {
    const { made, backup } = guest();
    const { stdout, status } = backup(['create', 'device=abc', 'note=two words']);
    expect(status).toBe(0);
    expect(stdout.split('\n').slice(0, 9)).toEqual([
      'sovereign-backup 1',
      'about service toy',
      'about base debian',
      'about kind notes',
      'about major 3',
      'about collation C',
      'about device abc',
      'about note two words',
      'count 2 notes',
    ]);
    expect(backup(['restore'], stdout)).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(made.path('restored'), 'utf8')).toBe(notes);
    expect(restoring(made)).toBe(false);
    expect(made.read('state/stage')).toBe('restore\n');
  });

  test('a stream that is cut anywhere is not taken, and the service stays closed to health', () => {
    const { made, backup } = guest();
    made.write('notes', 'a note\nanother\n');
    const { stdout } = backup(['create']);
    for (let end = 0; end < stdout.length - 1; end += 5) {
      const { status, stderr } = backup(['restore'], stdout.slice(0, end));
      expect([end, status]).toEqual([end, 1]);
      expect(stderr).toMatch(/^sovereign: (the backup|this is no backup|the notes)/m);
      expect(restoring(made)).toBe(true);
    }
  });

  test.each([
    ['of another service', ['about service toy', 'about service sql'], 'this is a backup of sql, not of toy'],
    ['of a newer version', ['about major 3', 'about major 4'], 'the backup was made by notes 4'],
    ['of a newer format', ['sovereign-backup 1', 'sovereign-backup 2'], 'the backup has format 2'],
    ['with a line of nobody', ['count 2', 'sum 2'], "it has a line that begins with 'sum'"],
    [
      'with content of nobody',
      ['piece notes', 'piece secrets'],
      'the secrets of the backup could not be restored',
    ],
  ])('one %s is refused', (_what, [from = '', to = ''], reason) => {
    const { made, backup } = guest();
    const { stdout } = backup(['create']);
    const { status, stderr } = backup(['restore'], stdout.replace(from, to));
    expect([status, restoring(made)]).toEqual([1, true]);
    expect(stderr).toContain(reason);
  });

  test('nothing is left of a run in memory', () => {
    const { made, backup } = guest();
    backup(['create']);
    backup(['restore'], 'nonsense');
    expect(made.run(`ls "$RUN"`).stdout).not.toMatch(/backup\./);
  });
});
