import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { shells, StandInGuest } from './testing/scripts.ts';

describe.each(shells)('questions under %s', (_name, shell) => {
  let guest: StandInGuest;

  beforeEach(() => {
    guest = new StandInGuest(shell);
    guest.write(
      'config/guest.conf',
      'hostname sql\neth0-address 10.0.2.15/24\neth0-gateway 10.0.2.2\ndns 10.0.2.3\ndata-uuid 1\n',
    );
    // Stand-ins for the programs of a guest whose network is well.
    guest.program(
      'ip',
      `case "$*" in
      *address*) echo '2: eth0    inet 10.0.2.15/24 scope global eth0' ;;
      *route*) echo 'default via 10.0.2.2 dev eth0' ;;
      esac`,
    );
    for (const name of ['ping', 'nc']) guest.program(name, 'exit 0');
    guest.program('nslookup', 'echo "Name: $1"; echo "Address: 192.0.2.7"');
    guest.program('pidof', 'exit 1');
    // Those of the guest are BusyBox's, which know less than this machine's.
    for (const name of ['tr', 'tail', 'timeout', 'date']) guest.program(name, `exec busybox ${name} "$@"`);
    for (const folder of ['sys/class/net/eth0', 'proc/net'])
      mkdirSync(guest.path(folder), { recursive: true });
    guest.write('sys/class/net/eth0/flags', '0x1003\n');
    guest.write('sys/class/net/eth0/carrier', '1\n');
    guest.write('proc/net/tcp', head + socket('00000000:1538', '0A') + socket('0100007F:0016', '01'));
    guest.write('state/firewall', 'open\n');
  });

  afterEach(() => guest.remove());

  const head = '  sl  local_address rem_address   st tx_queue rx_queue\n';
  const socket = (local: string, state: string) =>
    `   0: ${local} 00000000:0000 ${state} 00000000:00000000\n`;

  const look = (...words: string[]) => {
    const { stdout, stderr } = guest.run(
      `SOVEREIGN_SYS='${guest.path('sys')}' SOVEREIGN_PROC='${guest.path('proc')}' "$SOVEREIGN_LIB/look" ${words.join(' ')}`,
    );
    expect(stderr).toBe('');
    return stdout.trim().split('\n').sort();
  };

  test('tells the clock, the settings and everything that is set', () => {
    const lines = look('example.com', '192.0.2.7', '443');
    expect(lines.filter((line) => !line.startsWith('clock'))).toEqual([
      'address eth0 10.0.2.15/24',
      'firewall open',
      'gateway yes',
      'link eth0 up 1',
      'lookup Address: 192.0.2.7',
      'lookup Name: example.com',
      'lookup-status 0',
      'port postgres 5432 yes',
      'route default via 10.0.2.2 dev eth0',
      'setting dns 10.0.2.3',
      'setting eth0-address 10.0.2.15/24',
      'setting eth0-gateway 10.0.2.2',
      'uplink-status 0',
    ]);
    const clock = Number(/^clock (\d+)$/.exec(lines.find((line) => line.startsWith('clock')) ?? '')?.[1]);
    expect(Math.abs(clock - Date.now() / 1000)).toBeLessThan(60);
  });

  test('tells what is broken: each by its own line', () => {
    guest.write('sys/class/net/eth0/flags', '0x1002\n');
    guest.write('sys/class/net/eth0/carrier', '');
    guest.write('proc/net/tcp', head + socket('0100007F:1538', '01'));
    guest.write('proc/net/tcp6', head);
    guest.program('ip', 'exit 0');
    guest.program('ping', 'exit 1');
    guest.program('nc', 'echo "nc: connect: Network is unreachable" >&2; exit 1');
    guest.program('nslookup', 'echo ";; no servers could be reached"; exit 1');
    expect(look('example.com', '192.0.2.7', '443')).toEqual(
      expect.arrayContaining([
        'gateway no',
        'link eth0 down none',
        'lookup ;; no servers could be reached',
        'lookup-status 1',
        'port postgres 5432 no',
        'uplink nc: connect: Network is unreachable',
        'uplink-status 1',
      ]),
    );
  });

  test('shows the rules that the kernel has for the tailnet, all of them', () => {
    guest.write('config/guest.conf', 'tailnet yes\n');
    guest.program('tailscale', 'exit 0');
    const rules = Array.from({ length: 30 }, (_, port) => `tcp dport ${port} accept`);
    guest.program('nft', `echo "$*"; for port in $(seq 0 29); do echo "	tcp dport $port accept"; done`);
    const lines = look().filter((line) => line.startsWith('rules'));
    expect(lines).toHaveLength(rules.length + 2);
    expect(lines).toEqual(
      expect.arrayContaining([
        'rules-status 0',
        'rules list chain inet sovereign tailnet',
        ...rules.map((rule) => `rules \t${rule}`),
      ]),
    );
  });

  test('asks nothing outside where nothing is named, and no tailnet that is off', () => {
    for (const name of ['nslookup', 'nc', 'tailscale'])
      guest.program(name, `echo ${name} >>'${guest.path('calls')}'`);
    look();
    look('-', '-', '-');
    expect(guest.read('calls')).toBe('');
  });

  test('tells of tailscaled, and asks the peers that are there, but not itself', () => {
    guest.write('config/guest.conf', 'tailnet yes\ntailnet-server https://control.example\n');
    guest.write('state/tailnet', 'running 100.64.0.1 sql-here never n1\n');
    guest.program(
      'tailscale',
      `case "$1" in
      status)
        echo '100.64.0.1      sql-here     you          linux   -'
        echo '100.64.0.2      laptop       you          linux   idle, tx 1 rx 2'
        echo '100.64.0.3      old-phone    you          android offline'
        ;;
      ping) echo "pong from laptop ($6) via DERP(lab) in 3ms" ;;
      esac`,
    );
    const lines = look();
    expect(lines).toEqual(
      expect.arrayContaining([
        'setting tailnet yes',
        'setting tailnet-server https://control.example',
        'tailnet running 100.64.0.1 sql-here never n1',
        'tailscale-status 0',
        expect.stringMatching(/^tailscale 100\.64\.0\.3 +old-phone .*offline$/),
        expect.stringMatching(/^peer laptop 100\.64\.0\.2 0 pong from laptop/),
      ]),
    );
    expect(lines.filter((line) => line.startsWith('peer '))).toHaveLength(1);
  });

  describe('through the agent', () => {
    let agent: ChildProcess;

    beforeEach(() => (agent = guest.start('agent')));

    afterEach(async () => {
      agent.kill('SIGTERM');
      await once(agent, 'exit');
    });

    const says = (pattern: RegExp) =>
      vi.waitUntil(() => guest.lines.some((line) => pattern.test(line)), { timeout: 20_000, interval: 20 });

    test('the answer comes line by line, with its number, and ends', async () => {
      await says(/hello/);
      guest.order('ask 7-1 look');
      await says(/ answer 7-1 end 0$/);
      expect(guest.lines.some((line) => line.endsWith(' answer 7-1 setting eth0-gateway 10.0.2.2'))).toBe(
        true,
      );
    });

    test('what nobody may ask is not run, and what fails says how', async () => {
      await says(/hello/);
      guest.order('ask 7-2 ../../../../bin/poweroff now');
      guest.order('ask 7-3 mend everything');
      await says(/ answer 7-2 end 2$/);
      await says(/ answer 7-3 end 2$/);
      expect(guest.read('calls')).toBe('');
    });
  });
});
