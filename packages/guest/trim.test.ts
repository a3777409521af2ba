import { existsSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { shells, SOON, StandInGuest } from './testing/scripts.ts';

describe.each(shells)('a thin data disk under %s', { timeout: 60_000 }, (_name, shell) => {
  let guest: StandInGuest;

  beforeEach(() => {
    guest = new StandInGuest(shell);
    guest.hurry = {
      SOVEREIGN_REPORT_SECONDS: '1',
      // From the boot of this machine on.
      SOVEREIGN_TRIM_FIRST: '1',
      SOVEREIGN_TRIM_SECONDS: '1',
    };
    guest.program('fstrim', `echo "fstrim $*" >>'${guest.path('calls')}'`);
    for (const name of ['started', 'opened']) guest.write(name, '');
    disk('thin');
  });

  afterEach(() => guest.remove());

  const disk = (how: string): void =>
    guest.write('config/guest.conf', `hostname sql\nsetting disk ${how}\nsetting other value\n`);
  const begin = (): void => void guest.start('health-watch');
  const trims = (): string[] =>
    guest
      .read('calls')
      .split('\n')
      .filter((line) => line.startsWith('fstrim'));

  test('is trimmed now and then, while the service is well and open', async () => {
    begin();
    await vi.waitUntil(() => trims().length >= 2, SOON);
    expect(trims()[0]).toBe(`fstrim ${guest.path('data')}`);
    await vi.waitUntil(() => !existsSync(guest.path('trimming')), SOON);
  });

  test('is left alone on trial, and where its owner does not want it thin', async () => {
    const neverTrimmed = async (): Promise<void> => {
      await guest.nextReport();
      // The first may have been asked for before the change.
      await guest.nextReport();
      expect(trims()).toEqual([]);
    };
    rmSync(guest.path('opened'));
    begin();
    await neverTrimmed();
    disk('thick');
    guest.write('opened', '');
    await neverTrimmed();
    // Nothing but that was in the way.
    disk('thin');
    await vi.waitUntil(() => trims().length > 0, SOON);
  });

  test('is trimmed once in the time that is set', async () => {
    guest.hurry.SOVEREIGN_TRIM_SECONDS = '1000';
    begin();
    await vi.waitUntil(() => trims().length > 0, SOON);
    await guest.nextReport();
    await guest.nextReport();
    expect(trims()).toHaveLength(1);
  });

  test('keeps nobody waiting while it is trimmed, however long that takes; a stop ends it', async () => {
    // One: the file names the last.
    guest.hurry.SOVEREIGN_TRIM_SECONDS = '1000';
    guest.program('fstrim', `echo fstrim >>'${guest.path('calls')}'; read -r _ <'${guest.path('never')}'`);
    guest.run(`mkfifo '${guest.path('never')}'`);
    begin();
    await vi.waitUntil(() => existsSync(guest.path('trimming')) && trims().length > 0, SOON);
    await guest.nextReport();
    expect(guest.read('state/health')).toBe('ok\n');
    const pid = guest.read('trimming').trim();
    const lib = '. "$SOVEREIGN_LIB/trim.sh"';
    expect(guest.run(`${lib}; trim_end; [ ! -e /proc/${pid} ] && echo ended`).stdout).toBe('ended\n');
    expect(existsSync(guest.path('trimming'))).toBe(false);
  });

  test('another process under the number of one that is gone is let be', () => {
    const { stdout } = guest.run(
      `. "$SOVEREIGN_LIB/trim.sh"; sleep 60 & echo $! >"$TRIMMING"; trim_end; kill -0 $! && echo there; kill $!`,
    );
    expect(stdout).toBe('there\n');
  });
});
