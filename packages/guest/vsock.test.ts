import { mkdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { shells, StandInGuest } from './testing/scripts.ts';

const settings = 'eth0-mtu 4000\neth0-vsock 1024\neth0-gateway 192.168.127.1\n';

describe.each(shells)('the network over vsock under %s', (_name, shell) => {
  let guest: StandInGuest;
  beforeEach(() => {
    guest = new StandInGuest(shell);
    guest.write('config/guest.conf', settings);
    // One line a call, each argument in brackets.
    for (const name of ['ip', 'supervise-daemon']) {
      guest.program(
        name,
        `printf '${name}' >>'${guest.path('calls')}'
printf ' <%s>' "$@" >>'${guest.path('calls')}'
echo >>'${guest.path('calls')}'`,
      );
    }
  });
  afterEach(() => guest.remove());

  const make = () =>
    guest.run(`SOVEREIGN_SYS='${guest.folder}'; . "$SOVEREIGN_LIB/vsock.sh"; vsock_interface 1024`);
  const calls = () => guest.read('calls').trim().split('\n');

  test('makes eth0 with its packet size, then starts what carries it', () => {
    expect(make()).toMatchObject({ status: 0, stderr: '' });
    expect(calls()).toEqual([
      'ip <tuntap> <add> <dev> <eth0> <mode> <tap>',
      'ip <link> <set> <dev> <eth0> <mtu> <4000>',
      expect.stringMatching(/^supervise-daemon <gvforwarder> <--start> .* <--respawn-max> <0> /),
    ]);
  });

  test('tells the carrier the port of the device, the interface, its packet size and its gateway', () => {
    make();
    expect(calls()[2]).toMatch(
      / <--> <-url> <vsock:\/\/2:1024> <-iface> <eth0> <-mtu> <4000> <-gateway> <192.168.127.1>$/,
    );
  });

  test('takes an eth0 that an earlier start made', () => {
    mkdirSync(guest.path('class/net/eth0'), { recursive: true });
    expect(make().status).toBe(0);
    expect(calls()[0]).toMatch(/^ip <link>/);
  });

  test('starts nothing where the settings lack the packet size', () => {
    guest.write('config/guest.conf', 'eth0-vsock 1024\n');
    expect(make().status).not.toBe(0);
    expect(calls()).toEqual(['']);
  });

  test('starts nothing where eth0 cannot be made', () => {
    guest.program('ip', 'exit 1');
    expect(make().status).not.toBe(0);
    expect(calls()).toEqual(['']);
  });
});
