import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { shells, StandInGuest } from './testing/scripts.ts';

/** Generous: a machine that builds at the same time is slow. */
const SOON = { timeout: 20_000, interval: 20 };

describe.each(shells)('a thin data disk under %s', { timeout: 60_000 }, (_name, shell) => {
  let guest: StandInGuest;
  let watch: ChildProcess | undefined;

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

  afterEach(async () => {
    if (watch !== undefined) {
      watch.kill('SIGKILL');
      await once(watch, 'exit');
      watch = undefined;
    }
    await guest.remove();
  });

  const disk = (how: string): void =>
    guest.write('config/guest.conf', `hostname sql\nsetting disk ${how}\nsetting other value\n`);
  const begin = (): void => void (watch = guest.start('health-watch'));
  const trims = (): string[] =>
    guest
      .read('calls')
      .split('\n')
      .filter((line) => line.startsWith('fstrim'));
  /** The health is asked for again and told: what was due by the last answer has begun. */
  const anotherReport = async (): Promise<void> => {
    rmSync(guest.path('state/beat'), { force: true });
    await vi.waitUntil(() => existsSync(guest.path('state/beat')), SOON);
  };

  test('is trimmed now and then, while the service is well and open', async () => {
    begin();
    await vi.waitUntil(() => trims().length >= 2, SOON);
    expect(trims()[0]).toBe(`fstrim ${guest.path('data')}`);
    await vi.waitUntil(() => !existsSync(guest.path('trimming')), SOON);
  });

  test('is left alone on trial, and where its owner does not want it thin', async () => {
    const neverTrimmed = async (): Promise<void> => {
      await anotherReport();
      // The first may have been asked for before the change.
      await anotherReport();
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
    await anotherReport();
    await anotherReport();
    expect(trims()).toHaveLength(1);
  });

  test('keeps nobody waiting while it is trimmed, however long that takes; a stop ends it', async () => {
    guest.program('fstrim', `echo fstrim >>'${guest.path('calls')}'; read -r _ <'${guest.path('never')}'`);
    guest.run(`mkfifo '${guest.path('never')}'`);
    begin();
    await vi.waitUntil(() => existsSync(guest.path('trimming')) && trims().length > 0, SOON);
    await anotherReport();
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
