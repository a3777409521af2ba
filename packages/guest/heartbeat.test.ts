import { spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { shells, SOON, StandInGuest } from './testing/scripts.ts';

const ADDRESS = 'https://monitor.example/ping/7d2f0c1e-planted';

describe.each(shells)('the heartbeat under %s', { timeout: 60_000 }, (_name, shell) => {
  let guest: StandInGuest;
  let watch: ChildProcess | undefined;

  beforeEach(() => {
    guest = new StandInGuest(shell);
    guest.hurry = { SOVEREIGN_HEARTBEAT_SECONDS: '1', SOVEREIGN_REPORT_SECONDS: '1' };
    mkdirSync(guest.path('config/secrets'));
    guest.write('config/secrets/heartbeat', `${ADDRESS}\n`);
    // Stands in for gvforwarder, whose calls packages/network tests.
    guest.program(
      'gvforwarder',
      `echo "called $*" >>'${guest.path('calls')}'
[ ! -e '${guest.path('hangs')}' ] || exec sleep 60
[ ! -e '${guest.path('fails')}' ] || { echo "2026/11/28 gvforwarder: no success: $(cat '${guest.path('fails')}')" >&2; exit 1; }`,
    );
    for (const name of ['started', 'opened']) guest.write(name, '');
  });

  afterEach(() => guest.remove());

  const begin = (): void => void (watch = guest.start('health-watch'));
  const calls = (): string[] =>
    guest
      .read('calls')
      .split('\n')
      .filter((line) => line.startsWith('called'));
  const isHealth = (state: RegExp) =>
    vi.waitUntil(
      () => existsSync(guest.path('state/health')) && state.test(guest.read('state/health')),
      SOON,
    );
  const told = (): string[] =>
    guest
      .read('console')
      .split('\n')
      .filter((line) => line.startsWith('heartbeat: '));
  const says = (text: string) => vi.waitUntil(() => told().at(-1) === `heartbeat: ${text}`, SOON);
  /** No call is under way any more: each is a process of the watch, by its name. */
  const noCall = () => {
    const args = ['-o', 'args=', '--ppid', String(watch?.pid)];
    return vi.waitUntil(
      () => !spawnSync('ps', args, { encoding: 'utf8' }).stdout.includes('health-watch'),
      SOON,
    );
  };

  test('is called while the service is well, and no argument holds the address', async () => {
    begin();
    await vi.waitUntil(() => calls().length >= 2, SOON);
    expect(calls()[0]).toBe(`called -call ${guest.path('config/secrets/heartbeat')}`);
    await says('it is heard');
    expect(told()).toEqual(['heartbeat: it is heard']);
  });

  test('is not called for a service that starts, is ill, or is not open', async () => {
    rmSync(guest.path('started'));
    begin();
    await isHealth(/^starting/);
    await guest.nextReport();
    guest.program('health', 'echo "no answer"; exit 1');
    guest.write('started', '');
    await isHealth(/^bad no answer/);
    await guest.nextReport();
    rmSync(guest.path('opened'));
    guest.program('health', 'exit 0');
    await isHealth(/^ok/);
    await guest.nextReport();
    expect(calls()).toEqual([]);
    guest.write('opened', '');
    await vi.waitUntil(() => calls().length > 0, SOON);
  });

  test('stops with the health of the service', async () => {
    begin();
    await vi.waitUntil(() => calls().length > 0, SOON);
    guest.program('health', 'echo "no answer"; exit 1');
    await isHealth(/^bad no answer/);
    // The last call that the good health began.
    await noCall();
    const before = calls().length;
    await guest.nextReport();
    expect(calls()).toHaveLength(before);
  });

  test('that is not heard is told once, and again when it is heard; the health stays what it is', async () => {
    guest.write('fails', 'it answers with status 500');
    // Far enough apart that the end of one call is never told after that of the next.
    guest.hurry.SOVEREIGN_HEARTBEAT_SECONDS = '4';
    begin();
    await says('it is not heard: it answers with status 500');
    guest.write('fails', 'connection refused');
    const before = calls().length;
    await vi.waitUntil(() => calls().length > before, SOON);
    await isHealth(/^ok/);
    await noCall();
    rmSync(guest.path('fails'));
    await says('it is heard');
    expect(told()).toEqual([
      'heartbeat: it is not heard: it answers with status 500',
      'heartbeat: it is heard',
    ]);
    expect(guest.read('console')).not.toContain('planted');
  });

  test('waits for nobody: the health is told while a monitor hangs', async () => {
    guest.write('hangs', '');
    begin();
    await vi.waitUntil(() => calls().length > 0, SOON);
    await guest.nextReport();
    await isHealth(/^ok$/m);
  });

  test('is not called before the clock is set, when no certificate is valid', async () => {
    guest.program('date', 'echo 86400');
    begin();
    await says('it waits for the clock to be set');
    expect(calls()).toEqual([]);
  });

  test.each([
    ['that is off', 'off\n'],
    ['that nobody set', undefined],
  ])('%s is not called', async (_what, value) => {
    if (value === undefined) rmSync(guest.path('config/secrets/heartbeat'));
    else guest.write('config/secrets/heartbeat', value);
    begin();
    await isHealth(/^ok/);
    await guest.nextReport();
    expect(calls()).toEqual([]);
  });
});
