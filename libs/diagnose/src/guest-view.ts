/** What a guest answers to `look` (docs/formats.md, "Questions"). */
export interface GuestView {
  /** Seconds since 1970. */
  clock: number;
  /** Settings of the network that this boot began with, each `[key, value]`. */
  settings: readonly (readonly [key: string, value: string])[];
  links: readonly Link[];
  /** `[interface, ADDRESS/BITS]`. */
  addresses: readonly (readonly [link: string, address: string])[];
  /** Default routes, as `ip route` prints them. */
  routes: readonly string[];
  /** Whether the gateway answers a ping; undefined where there is none. */
  gateway: boolean | undefined;
  /** Whether what carries eth0 over vsock runs; undefined where eth0 is a card. */
  gvforwarder: boolean | undefined;
  /** Of the look-up and of the connection to the outside; undefined where they were not asked for. */
  lookup: Said | undefined;
  uplink: Said | undefined;
  /** `STATE WORD…`; undefined where nothing was told. */
  tailnet: string | undefined;
  /** Of `tailscale status`; undefined where the tailnet is off. */
  tailscale: Said | undefined;
  peers: readonly Peer[];
  ports: readonly { name: string; number: number; listens: boolean }[];
  /** `open` or `closed`; undefined where no rules were loaded. */
  firewall: string | undefined;
  /** `STATE WORD…` of a handshake that was just done, or `starting`; undefined where the guest has no HTTPS. */
  https: string | undefined;
  /** Of `nft list chain`: the rules for what comes out of the tunnel; undefined where the tailnet is off. */
  rules: Said | undefined;
}

export interface Link {
  name: string;
  up: boolean;
  carrier: boolean;
}

/** What a program in the guest left. */
export interface Said {
  status: number;
  lines: readonly string[];
}

/** A peer that was asked for an answer. */
export interface Peer {
  name: string;
  answered: boolean;
  /** The last line about it. */
  line: string;
}

/** Reads the lines of an answer; what it does not know, it ignores. Pure. */
export function parseGuestView(lines: readonly string[]): GuestView {
  const all = (key: string): string[] =>
    lines.filter((line) => line.startsWith(`${key} `)).map((line) => line.slice(key.length + 1));
  const first = (key: string): string | undefined => all(key)[0];
  const yes = (key: string): boolean | undefined => {
    const value = first(key);
    return value === undefined ? undefined : value === 'yes';
  };
  const said = (key: string): Said | undefined => {
    const status = first(`${key}-status`);
    return status === undefined ? undefined : { status: Number(status), lines: all(key) };
  };
  return {
    clock: Number(first('clock')),
    settings: all('setting').map(pair),
    links: all('link').map((line) => {
      const [name = '', state, carrier] = line.split(' ');
      return { name, up: state === 'up', carrier: carrier === '1' };
    }),
    addresses: all('address').map(pair),
    routes: all('route').map((line) => line.trim()),
    gateway: yes('gateway'),
    gvforwarder: yes('gvforwarder'),
    lookup: said('lookup'),
    uplink: said('uplink'),
    tailnet: first('tailnet'),
    tailscale: said('tailscale'),
    peers: all('peer').map((line) => {
      const [name = '', , status, ...words] = line.split(' ');
      return { name, answered: status === '0', line: words.join(' ') };
    }),
    ports: all('port').map((line) => {
      const [name = '', number, listens] = line.split(' ');
      return { name, number: Number(number), listens: listens === 'yes' };
    }),
    firewall: first('firewall'),
    https: first('https'),
    rules: said('rules'),
  };
}

const pair = (line: string): readonly [string, string] => {
  const blank = line.indexOf(' ');
  return blank < 0 ? [line, ''] : [line.slice(0, blank), line.slice(blank + 1)];
};

/** Values of one setting, in their order. */
export const settings = ({ settings: all }: GuestView, key: string): string[] =>
  all.filter(([name]) => name === key).map(([, value]) => value);
