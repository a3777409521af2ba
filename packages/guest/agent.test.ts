import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { shells, StandInGuest } from './testing/scripts.ts';

describe.each(shells)('the agent under %s', (_name, shell) => {
  let guest: StandInGuest;
  let agent: ChildProcess;

  beforeEach(() => {
    guest = new StandInGuest(shell);
    agent = guest.start('agent');
  });

  afterEach(async () => {
    await stop();
    await guest.remove();
  });

  async function stop(): Promise<void> {
    if (agent.exitCode !== null || agent.signalCode !== null) return;
    agent.kill('SIGTERM');
    await once(agent, 'exit');
  }

  const says = (pattern: RegExp) =>
    vi.waitUntil(() => guest.lines.some((line) => pattern.test(line)), { timeout: 20_000, interval: 10 });

  test('begins with its protocol, counts its lines, and names the boot in each', async () => {
    await says(/^1 hello 1$/);
    await says(/health starting/);
    const boots = new Set(
      guest
        .read('out')
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[0]),
    );
    expect([...boots]).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/)]);
    // Read once: the next line may come at any time.
    const numbers = guest.lines.map((line) => Number(line.split(' ')[0]));
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  });

  test('passes on what the services tell', async () => {
    await says(/hello/);
    guest.run('tell stage data');
    await says(/ stage data$/);
    guest.run('tell tailnet "needs-login https://control.example/register/x"');
    await says(/ tailnet needs-login https:\/\/control\.example\/register\/x$/);
    guest.run('tell https "bad tls: expired"');
    await says(/ https bad tls: expired$/);
  });

  test('answers a ping', async () => {
    await says(/hello/);
    guest.order('ping');
    await says(/ pong$/);
  });

  test('opens the firewall on the order, once the network is guarded, and says so', async () => {
    await says(/hello/);
    guest.order('open');
    guest.order('ping');
    await says(/ pong$/);
    expect(guest.read('calls')).not.toContain('nft');
    guest.run('tell firewall closed');
    await says(/ stage open$/);
    expect(guest.read('calls')).toContain(`nft -f ${guest.path('firewall.nft')}`);
    expect(guest.read('firewall.nft')).toContain('tcp dport 5432 accept');
  });

  test('stops the machine on the order', async () => {
    await says(/hello/);
    guest.order('stop');
    await says(/ stage stopping$/);
    await vi.waitUntil(() => guest.read('calls').includes('poweroff'), { timeout: 20_000 });
  });

  test('ignores what it does not know, and a time that is none', async () => {
    await says(/hello/);
    for (const line of ['sing', '', 'time', 'time never', 'time -5', 'time $(poweroff)', 'ping; poweroff']) {
      guest.order(line);
    }
    guest.order('ping');
    await says(/ pong$/);
    expect(guest.read('calls')).toBe('');
  });

  test('takes no time from a device whose clock was never set: it asks time servers', async () => {
    guest.write('clock', '86400');
    guest.program(
      'date',
      `case "$*" in *-s*) echo 1795000000 >'${guest.path('clock')}'; echo "date $*" >>'${guest.path('calls')}' ;; *) cat '${guest.path('clock')}' ;; esac`,
    );
    guest.program('gvforwarder', `echo "asked $*" >>'${guest.path('calls')}'; echo 1795000000`);
    guest.write('config/guest.conf', 'hostname sql\nntp a.example\nntp b.example\n');
    await says(/hello/);
    guest.order('time 86500');
    const calls = () => guest.read('calls').trim().split('\n');
    const set = ['asked -time a.example b.example', 'date -u -s @1795000000'];
    await vi.waitUntil(() => calls().length === 2, { timeout: 20_000 });
    expect(calls()).toEqual(set);
    // It has a time now, and the device still has none.
    guest.order('time 86600');
    guest.order('ping');
    await says(/ pong$/);
    expect(calls()).toEqual(set);
    guest.order('time 1795000060');
    await vi.waitUntil(() => calls().length === 3, { timeout: 20_000 });
    expect(calls().at(-1)).toBe('date -u -s @1795000060');
  });

  test('ends with its last word, after which nothing comes', async () => {
    await says(/hello/);
    await stop();
    expect(guest.lines.at(-1)).toMatch(/ bye$/);
  });

  test('started again, it goes on counting and tells the present state', async () => {
    await says(/hello/);
    guest.run('tell stage service');
    await says(/ stage service$/);
    agent.kill('SIGKILL');
    await once(agent, 'exit');
    const before = guest.lines.length;
    const helpers = guest.read('helpers').trim().split(' ').map(Number);
    agent = guest.start('agent');
    await vi.waitUntil(() => guest.lines.slice(before).some((line) => line.endsWith(' stage service')), {
      timeout: 20_000,
    });
    const numbers = guest.lines.map((line) => Number(line.split(' ')[0]));
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    for (const helper of helpers) {
      await vi.waitUntil(() => !existsSync(`/proc/${helper}`), { timeout: 20_000 });
    }
  });

  test('reports health by the service’s own command: starting, ok, bad with its reason', async () => {
    await says(/ health starting$/);
    guest.write('started', '');
    await says(/ health ok$/);
    // Now and then with the time of its clock, which the launcher compares with its own.
    await says(/ beat \d{10}$/);
    guest.program('health', 'echo "no answer: \\$(x) é"; exit 1');
    // Asked again after five seconds when all was well.
    await vi.waitUntil(() => guest.lines.some((line) => line.includes(' health bad no answer: ')), {
      timeout: 20_000,
    });
    expect(guest.lines.at(-1)).not.toMatch(/[^\x20-\x7e]/);
  });

  test('tells the space on the data disk, and names the lack of it where the service is ill', async () => {
    await says(/ health starting$/);
    guest.disk('sov-data', 96 * 2048);
    guest.program('stat', 'echo "5000 4096"');
    guest.write('data.sh', '. "$SOVEREIGN_LIB/space.sh"; space_tell');
    guest.run(`. '${guest.path('data.sh')}'`);
    await says(/ data 100663296 19922944$/);
    guest.program('stat', 'echo "100 4096"');
    guest.program('health', 'echo "no answer"; exit 1');
    guest.write('started', '');
    await says(/ health bad data full: 0 of 96 MiB are free; no answer$/);
    await says(/ data 100663296 0$/);
    // Told once each, whoever looks again.
    const look = async (mark: string, before = ':') => {
      guest.run(`${before}; . '${guest.path('data.sh')}' || true; tell stage ${mark}`);
      await says(new RegExp(` stage ${mark}$`));
      return guest.lines.filter((line) => line.includes(' data 1')).length;
    };
    expect(await look('again')).toBe(2);
    // Unmounted at a stop, while this one looks: what is read then is the root's.
    const unmounts = `stat() { rm -f '${guest.path('state/data')}'; echo "1000 4096"; }`;
    expect(await look('unmounted', unmounts)).toBe(2);
  });

  test('a reason to stay down outranks everything', async () => {
    await says(/hello/);
    guest.write('started', '');
    guest.run(`stay_down "data missing: ${'x'.repeat(600)}"`);
    await says(/ health bad data missing: x+$/);
    for (const line of guest.read('out').split('\n')) expect(line.length).toBeLessThanOrEqual(512);
    const after = guest.lines.findIndex((line) => line.includes('data missing'));
    expect(guest.lines.slice(after).filter((line) => line.endsWith('health ok'))).toEqual([]);
  });
});
