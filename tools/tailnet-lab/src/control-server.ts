import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';
import { certify } from './certify.ts';
import { headscaleProgram } from './headscale-program.ts';
import type { Outcome, Rooms } from './rooms.ts';
import { control } from './topology.ts';

/** A node as headscale tells it; times in ISO 8601. */
export interface Node {
  id: number;
  name: string;
  given_name: string;
  ip_addresses: string[];
  online?: boolean;
  forced_tags?: string[];
  expiry?: { seconds: number };
}

/** How a key may be used. */
export interface KeyOptions {
  /** More than once. */
  reusable?: boolean;
  /** A duration as Go writes it. */
  expiration?: string;
  tags?: readonly string[];
}

/** The owner of all nodes that are not tagged. */
const USER = 'owner';

/**
 * headscale, a real control server, over https with a certificate of the lab's own CA, and with it the one relay
 * (DERP) and STUN server, the resolver and the time server of the lab.
 */
export class ControlServer {
  readonly url = `https://${control.name}`;
  /** File with the certificate of the CA. */
  readonly ca: string;
  readonly #rooms: Rooms;
  readonly #folder: string;
  /** headscale itself; known once the server was started. */
  program = '';
  #stop: (() => Promise<void>) | undefined;

  constructor(rooms: Rooms, folder: string) {
    this.#rooms = rooms;
    this.#folder = folder;
    this.ca = join(folder, 'ca.pem');
  }

  /** First start: certificates, resolver, server, and the user who owns the nodes. */
  async start(): Promise<void> {
    this.program = await headscaleProgram();
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await certify(this.#folder, control.name);
    await writeFile(join(this.#folder, 'policy.json'), JSON.stringify(policy));
    await writeFile(join(this.#folder, 'config.yaml'), this.#configuration());
    this.#spawn([
      process.execPath,
      join(workspaceRoot(), 'tools/virtual-phone/src/world.ts'),
      control.address,
    ]);
    await this.up();
    await this.#answers('the resolver', () =>
      this.#rooms.run('control', ['getent', 'ahostsv4', control.name]),
    );
    await this.headscale('users', 'create', USER);
  }

  /** Starts the server where it is down. */
  async up(): Promise<void> {
    if (this.#stop !== undefined) return;
    this.#stop = this.#spawn([this.program, 'serve', '--config', this.#config]);
    await this.#answers('headscale', () => this.#command(['users', 'list']));
  }

  async #answers(what: string, ask: () => Promise<Outcome>): Promise<void> {
    const end = performance.now() + 120_000;
    while ((await ask()).status !== 0) {
      if (performance.now() > end) throw new Error(`${what} does not start`);
      await sleep(100);
    }
  }

  /** Ends the server; resolver and time server stay. */
  async down(): Promise<void> {
    await this.#stop?.();
    this.#stop = undefined;
  }

  /** Sets when a node's key ends, of a server that is down: its own command knows no other end than now. */
  setKeyEnd(id: number, end: Date): void {
    const database = new DatabaseSync(join(this.#folder, 'db.sqlite'));
    try {
      const text = end.toISOString().replace('T', ' ').replace('Z', '+00:00');
      const { changes } = database.prepare('update nodes set expiry = ? where id = ?').run(text, id);
      if (changes !== 1) throw new Error(`headscale knows no node ${id}`);
    } finally {
      database.close();
    }
  }

  /** Standard output of headscale's own command. */
  async headscale(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.#command(args);
    if (status !== 0) throw new Error(`headscale ${args.join(' ')}: ${stderr} ${stdout}`);
    return stdout;
  }

  /** Makes a key that logs nodes in. */
  async key({ reusable = false, expiration = '1h', tags = [] }: KeyOptions = {}): Promise<string> {
    const document = await this.#json<{ key: string }>([
      ...['preauthkeys', 'create', '--user', '1', '--expiration', expiration],
      ...(reusable ? ['--reusable'] : []),
      ...tags.flatMap((tag) => ['--tags', tag]),
    ]);
    return document.key;
  }

  async nodes(): Promise<Node[]> {
    return (await this.#json<Node[] | null>(['nodes', 'list'])) ?? [];
  }

  async #json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.headscale(...args, '--output', 'json')) as T;
  }

  #command(args: readonly string[]) {
    return this.#rooms.run('control', [this.program, '--config', this.#config, ...args]);
  }

  get #config(): string {
    return join(this.#folder, 'config.yaml');
  }

  #spawn(argv: string[]): () => Promise<void> {
    const child = execa(...this.#rooms.enter('control', argv, this.#folder), {
      reject: false,
      stdin: 'ignore',
      stdout: { file: join(this.#folder, 'log') },
      stderr: { file: join(this.#folder, 'log') },
    });
    return async () => {
      child.kill('SIGKILL');
      await child;
    };
  }

  /** JSON is YAML. */
  #configuration(): string {
    const file = (name: string) => join(this.#folder, name);
    return JSON.stringify({
      server_url: this.url,
      listen_addr: `${control.address}:443`,
      metrics_listen_addr: '127.0.0.1:9090',
      grpc_listen_addr: '127.0.0.1:50443',
      tls_cert_path: file('server.pem'),
      tls_key_path: file('server.key'),
      noise: { private_key_path: file('noise.key') },
      prefixes: { v4: '100.64.0.0/10', v6: 'fd7a:115c:a1e0::/48', allocation: 'sequential' },
      derp: {
        server: {
          enabled: true,
          region_id: 999,
          region_code: 'lab',
          region_name: 'Lab',
          stun_listen_addr: `${control.address}:3478`,
          private_key_path: file('derp.key'),
          automatically_add_embedded_derp_region: true,
          ipv4: control.address,
        },
        urls: [],
        paths: [],
        auto_update_enabled: false,
      },
      disable_check_updates: true,
      database: { type: 'sqlite', sqlite: { path: file('db.sqlite'), write_ahead_log: true } },
      policy: { mode: 'file', path: file('policy.json') },
      dns: {
        magic_dns: true,
        base_domain: 'tail.lab.test',
        override_local_dns: false,
        nameservers: { global: [], split: {} },
      },
      unix_socket: file('headscale.sock'),
      unix_socket_permission: '0700',
      logtail: { enabled: false },
      log: { format: 'text', level: 'info' },
    });
  }
}

/** Everybody reaches everything: what is closed in a test is closed by the guest. */
const policy = {
  tagOwners: { 'tag:sovereign': [`${USER}@`] },
  acls: [{ action: 'accept', src: ['*'], dst: ['*:*'] }],
};
