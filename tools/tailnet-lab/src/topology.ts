/**
 * The lab's map. Addresses of the "internet" are those that documents use (RFC 5737), so that a packet that should
 * ever get out is dropped by everybody.
 *
 *     control ──┐                       ┌── home-nat ──── home: the workstation with the local device
 *               internet ───────────────┼── mobile-nat ── home, its other uplink
 *                                       └── laptop-nat ── laptop
 */
export const rooms = [
  'internet',
  'control',
  'home-nat',
  'mobile-nat',
  'laptop-nat',
  'home',
  'laptop',
] as const;
export type Room = (typeof rooms)[number];

/** The control server's name and address: it is the resolver and the time server too. */
export const control = {
  name: 'control.lab.test',
  address: '198.51.100.2',
  gateway: '198.51.100.1',
} as const;

interface Site {
  router: Room;
  /** Who is behind the router. */
  host: 'home' | 'laptop';
  /** The host's interface. */
  port: string;
  /** Public address of the router, and of the internet's end of the line. */
  address: string;
  provider: string;
  /** Addresses behind the router: its own, and the host's. */
  gateway: string;
  inner: string;
}

export const sites = {
  home: {
    router: 'home-nat',
    host: 'home',
    port: 'lan0',
    address: '203.0.113.2',
    provider: '203.0.113.1',
    gateway: '192.168.7.1',
    inner: '192.168.7.2',
  },
  mobile: {
    router: 'mobile-nat',
    host: 'home',
    port: 'lan1',
    address: '203.0.113.10',
    provider: '203.0.113.9',
    gateway: '192.168.9.1',
    inner: '192.168.9.2',
  },
  laptop: {
    router: 'laptop-nat',
    host: 'laptop',
    port: 'lan0',
    address: '203.0.113.6',
    provider: '203.0.113.5',
    gateway: '192.168.8.1',
    inner: '192.168.8.2',
  },
} as const satisfies Record<string, Site>;
export type SiteName = keyof typeof sites;

/**
 * What a router does to UDP (RFC 4787's terms).
 * - `none`: no translation, everything is let through.
 * - `full-cone`: endpoint-independent mapping and filtering. Linux keeps the port of the one host behind the router,
 *   and whatever comes is sent to it.
 * - `port-restricted`: the same mapping; only those are let in that were written to. What Linux does by itself.
 * - `symmetric`: another port for each destination.
 * - `udp-blocked`: only names and the time are asked for over UDP.
 */
export const nats = ['none', 'full-cone', 'port-restricted', 'symmetric', 'udp-blocked'] as const;
export type Nat = (typeof nats)[number];

/** A router's whole rule set, for nft(8). */
export function rulesOf(nat: Nat, { inner }: Site): string {
  const random = nat === 'symmetric' ? ' random,fully-random' : '';
  const translate = nat === 'none' ? '' : `oifname "wan" masquerade${random}`;
  const deliver = nat === 'full-cone' ? `iifname "wan" meta l4proto udp dnat to ${inner}` : '';
  // What comes uninvited leaves no trace: else the router itself would hold the port that a host's packet needs.
  const forward = {
    none: 'accept',
    'full-cone': 'ct status dnat accept; iifname "wan" ct state new drop',
    'port-restricted': 'iifname "wan" ct state new drop',
    symmetric: 'iifname "wan" ct state new drop',
    'udp-blocked':
      'iifname "wan" ct state new drop; meta l4proto udp udp dport != { 53, 123 } ct direction original counter drop',
  }[nat];
  return `flush ruleset
table ip router {
  chain out {
    type nat hook postrouting priority srcnat
    ${translate}
  }
  chain in {
    type nat hook prerouting priority dstnat
    ${deliver}
  }
  chain through {
    type filter hook forward priority filter
    ${forward}
  }
  chain own {
    type filter hook input priority filter
    iifname "wan" ct state new meta l4proto { tcp, udp } drop
  }
}
`;
}
