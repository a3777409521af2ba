import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { shells, StandInGuest } from './testing/scripts.ts';

describe.each(shells)('the firewall under %s', (_name, shell) => {
  let guest: StandInGuest;
  beforeEach(() => {
    guest = new StandInGuest(shell);
  });
  afterEach(() => guest.remove());

  const ports = (mode: string) =>
    [...guest.run(`rules ${mode}`).stdout.matchAll(/^.*dport (\d+) accept$/gm)].map(([line]) => line.trim());

  test('drops by default and admits SSH from the gateway alone while it is closed', () => {
    expect(guest.run('rules closed').stdout).toMatch(/hook input priority filter; policy drop;/);
    expect(ports('closed')).toEqual(['iifname eth0 ip saddr 10.0.2.2 tcp dport 22 accept']);
  });

  test('admits the ports of the definition as well once it is open', () => {
    expect(ports('open')).toEqual([
      'iifname eth0 ip saddr 10.0.2.2 tcp dport 22 accept',
      'iifname "eth*" tcp dport 5432 accept',
    ]);
  });

  describe('towards neighbours on a card of their own', () => {
    const settings = 'eth0-address 10.0.2.15/24\neth0-gateway 10.0.2.2\neth1-address 192.168.127.2/24\n';
    const drops = (mode: string) =>
      [...guest.run(`rules ${mode}`).stdout.matchAll(/^.*eth1.*drop/gm)].map(([line]) => line.trim());

    test.each(['open', 'closed'])('takes their addresses from there and nowhere else, %s', (mode) => {
      guest.write('config/guest.conf', settings);
      expect(drops(mode)).toEqual([
        'iifname "eth1" ip saddr != 192.168.127.2/24 counter drop',
        'iifname "eth1" meta nfproto ipv6 counter drop',
        'iifname != "eth1" ip saddr 192.168.127.2/24 counter drop',
      ]);
      expect(guest.run(`rules ${mode}`).stdout).toMatch(
        /neighbour comes from elsewhere[^]*established, related/,
      );
    });

    test('admits declared ports once it is open, SSH from the gateway alone', () => {
      guest.write('config/guest.conf', settings);
      expect(ports('closed')).toEqual(['iifname eth0 ip saddr 10.0.2.2 tcp dport 22 accept']);
      expect(ports('open')).toEqual([
        'iifname eth0 ip saddr 10.0.2.2 tcp dport 22 accept',
        'iifname "eth*" tcp dport 5432 accept',
      ]);
    });

    test('has no rules of it where there is none', () => {
      expect(drops('open')).toEqual([]);
    });
  });

  describe('towards the tailnet', () => {
    const tailnet = (mode: string) =>
      /chain tailnet {([^}]*)}/
        .exec(guest.run(`rules ${mode}`).stdout)?.[1]
        ?.trim()
        .split('\n')
        .map((line) => line.trim());

    test('is not there where the settings switch it off', () => {
      expect(guest.run('rules open').stdout).not.toMatch(/chain tailnet|udp dport 41641/);
    });

    test('admits nothing while it is closed, and counts it', () => {
      guest.write('config/guest.conf', 'tailnet yes\n');
      expect(tailnet('closed')).toEqual(['counter drop comment "not for the tailnet"']);
      expect(guest.run('rules closed').stdout).toMatch(
        /iifname "tailscale0" goto tailnet\n\s*udp dport 41641/,
      );
    });

    test('admits a ping and the declared ports once it is open', () => {
      guest.write('config/guest.conf', 'tailnet yes\n');
      guest.write('service.conf', 'port web 80\nport admin 81\ntailnet web 443 80\nhealth /bin/true\n');
      expect(tailnet('open')).toEqual([
        'icmp type echo-request accept',
        'icmpv6 type echo-request accept',
        'tcp dport 80 ct original proto-dst 443 accept',
        '',
        'counter drop comment "not for the tailnet"',
      ]);
      expect(guest.run('rules open').stdout).toContain('iifname "tailscale0" tcp dport 443 redirect to :80');
    });

    test.each(['open', 'closed'])('is understood by the kernel, %s', (mode) => {
      guest.write(
        'config/guest.conf',
        'eth0-gateway 10.0.2.2\neth1-address 192.168.127.2/24\ndns 10.0.2.2\ntailnet yes\n',
      );
      guest.write('service.conf', 'port web 80\ntailnet web 443 80\n');
      const { status, stderr } = spawnSync('unshare', ['--map-root-user', '--net', 'nft', '-f', '-'], {
        input: guest.run(`rules ${mode}`).stdout,
        encoding: 'utf8',
      });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    });

    test.each(['open', 'closed'])('takes its addresses from nowhere else, %s', (mode) => {
      expect(guest.run(`rules ${mode}`).stdout).toMatch(
        /iifname != "tailscale0" ip saddr 100\.64\.0\.0\/10 counter drop[\s\S]*ip6 saddr fd7a:115c:a1e0::\/48 counter drop[\s\S]*established, related } accept/,
      );
    });
  });

  test('admits nobody to SSH where no gateway is known', () => {
    guest.write('config/guest.conf', 'hostname sql\n');
    expect(ports('closed')).toEqual([]);
  });

  test('begins nothing towards the gateway, which may be the host’s loopback', () => {
    const { stdout } = guest.run('rules open');
    expect(stdout).toContain('ip daddr 10.0.2.2 reject');
    expect(stdout).not.toMatch(/th dport 53/);
  });

  test('asks the gateway for names where it is the name server', () => {
    guest.write('config/guest.conf', 'eth0-gateway 192.168.127.1\ndns 192.168.127.1\n');
    expect(guest.run('rules closed').stdout).toMatch(
      /ip daddr 192\.168\.127\.1 meta l4proto { tcp, udp } th dport 53 accept\n.*reject/,
    );
  });

  test('keeps the old rules where the new ones are refused', () => {
    guest.program('nft', 'exit 1');
    expect(guest.run('firewall open').status).not.toBe(0);
    expect(guest.run('test ! -e "$RUN/state/firewall"').status).toBe(0);
  });
});

describe.each(shells)('values under %s', (_name, shell) => {
  test('are the rest of the first line of their key', async () => {
    const guest = new StandInGuest(shell);
    guest.write('values', 'a\nkey one two  three\nkey four\nkeys five\nlast');
    const script = (key: string) => `value '${key}' '${guest.path('values')}' && printf '<%s>' "$value"`;
    expect(guest.run(script('key')).stdout).toBe('<one two  three>');
    expect(guest.run(script('keys')).stdout).toBe('<five>');
    expect(guest.run(script('ke')).status).not.toBe(0);
    expect(guest.run(script('last')).status).not.toBe(0);
    await guest.remove();
  });
});
