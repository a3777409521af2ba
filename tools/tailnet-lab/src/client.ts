import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';
import { whileBuilt } from 'virtual-phone/built';
import type { Inside, Outcome, Rooms } from './rooms.ts';
import type { Room } from './topology.ts';

/** What `tailscale status --json` says, as far as tests read it. */
export interface TailscaleStatus {
  BackendState: string;
  TailscaleIPs: string[] | null;
  Self: { ID: string; HostName: string; DNSName: string };
  Peer?: Record<
    string,
    { HostName: string; TailscaleIPs: string[]; Online: boolean; CurAddr: string; Relay: string }
  > | null;
  Health?: string[];
}

/** How one node's packets reach another. */
export type Path = 'direct' | 'relayed';

/** A real tailscaled in a room. */
export class TailnetClient {
  readonly #rooms: Rooms;
  readonly #room: Room;
  readonly #folder: string;
  readonly #ca: string;
  #end: (() => Promise<void>) | undefined;

  constructor(rooms: Rooms, room: Room, folder: string, ca: string) {
    this.#rooms = rooms;
    this.#room = room;
    this.#folder = folder;
    this.#ca = ca;
  }

  /** Starts the daemon, and logs in where a login is needed. */
  async up(server: string, key: string, name: string = this.#room): Promise<void> {
    await this.start();
    const file = join(this.#folder, 'key');
    await writeFile(file, key, { mode: 0o600 });
    await Promise.all([
      this.tailscale([
        ...['up', `--login-server=${server}`, `--auth-key=file:${file}`, `--hostname=${name}`],
        ...['--accept-dns=false', '--timeout=180s'],
      ]),
      this.running(),
    ]);
  }

  /**
   * Waits until the daemon is in the tailnet. While it stays in `Starting`, it is made to look at its engine now and
   * then, which it does not do by itself: docs/decisions/0012-tailnet.md, "A state that nothing ends".
   */
  async running(): Promise<void> {
    const end = performance.now() + 180_000;
    for (let starting = 0; ;) {
      const { BackendState: state } = await this.status();
      if (state === 'Running') return;
      if (performance.now() > end) {
        const doing = await this.tailscale(['debug', 'daemon-goroutines']).catch(String);
        throw new Error(`the daemon in ${this.#room} stays in ${state}:\n${await this.log()}\n${doing}`);
      }
      starting = state === 'Starting' ? starting + 1 : 0;
      // Ended by its own time: it would tell for ever what it sees.
      if (starting % 25 === 0 && starting > 0) await this.#command(lookAtEngine, { timeout: 5000 });
      await sleep(200);
    }
  }

  async start(): Promise<void> {
    if (this.#end !== undefined) return;
    await this.#prepare();
    const log = join(this.#folder, 'log');
    const [file, args] = this.#rooms.enter(this.#room, [
      this.#program,
      `--statedir=${this.#folder}`,
      `--socket=${this.#socket}`,
      '--tun=tailscale0',
      // Another one at each start: what routers remember of the one before is of no use.
      '--port=0',
      '--no-logs-no-support',
    ]);
    const daemon = execa(file, args, {
      reject: false,
      stdin: 'ignore',
      stdout: { file: log },
      stderr: { file: log },
      env: { SSL_CERT_FILE: this.#ca, TS_DEBUG_FIREWALL_MODE: 'nftables', TS_LOGS_DIR: this.#folder },
    });
    this.#end = async () => {
      daemon.kill('SIGKILL');
      await daemon;
    };
    const deadline = performance.now() + 120_000;
    while ((await this.#command(['status', '--json'])).status !== 0) {
      if (performance.now() > deadline) throw new Error(`tailscaled does not start in ${this.#room}: ${log}`);
    }
  }

  async #prepare(): Promise<void> {
    if (existsSync(this.#folder)) return;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    // A copy: Nx takes what was built away and puts it back while other tests run.
    await whileBuilt(() => copyFile(program, this.#program));
    // By this name the program is the client.
    await symlink(this.#program, this.#cli);
  }

  /** What the daemon said since its last start. */
  log = (): Promise<string> => readFile(join(this.#folder, 'log'), 'utf8');

  async stop(): Promise<void> {
    await this.#end?.();
    this.#end = undefined;
  }

  /** Standard output of the client's command. */
  async tailscale(args: readonly string[], inside: Inside = {}): Promise<string> {
    const { status, stdout, stderr } = await this.#command(args, inside);
    if (status === 0) return stdout;
    throw new Error(`tailscale ${args[0] ?? ''}: exit ${status}: ${stderr || stdout}`);
  }

  async status(): Promise<TailscaleStatus> {
    return JSON.parse(await this.tailscale(['status', '--json'])) as TailscaleStatus;
  }

  /** This node's IPv4 address. */
  async address(): Promise<string> {
    const { TailscaleIPs: all } = await this.status();
    const found = all?.find((ip) => ip.includes('.'));
    if (found === undefined) throw new Error(`${this.#room} has no address in the tailnet`);
    return found;
  }

  /**
   * The path to a peer once it had time to become direct: pings until one is.
   * @param wanted where it is `direct` it has the time of a busy machine, on which ten pings may be over before each
   * knows where the other is
   * @throws Error where no ping is answered at all
   */
  async path(address: string, wanted?: Path): Promise<Path> {
    const pings = wanted === 'direct' ? 100 : 10;
    const { stdout, stderr, status } = await this.#command([
      ...['ping', `--c=${pings}`, '--timeout=3s', '--until-direct=true', address],
    ]);
    if (/pong from .* via \d/.test(stdout)) return 'direct';
    if (/pong from .* via DERP/.test(stdout)) return 'relayed';
    throw new Error(`no way from ${this.#room} to ${address}: exit ${status}: ${stdout}${stderr}`);
  }

  #command(args: readonly string[], inside: Inside = {}): Promise<Outcome> {
    return this.#rooms.run(this.#room, [this.#cli, `--socket=${this.#socket}`, ...args], inside);
  }

  get #program(): string {
    return join(this.#folder, 'tailscaled');
  }

  get #cli(): string {
    return join(this.#folder, 'tailscale');
  }

  get #socket(): string {
    return join(this.#folder, 'tailscaled.sock');
  }
}

/** Bit 0 of the mask: who listens is told of the engine every two seconds, which it is asked for each time. */
const lookAtEngine = ['debug', 'localapi', 'watch-ipn-bus?mask=1'];

const program = join(
  workspaceRoot(),
  'packages/network/dist',
  `tailscaled.${process.arch === 'x64' ? 'amd64' : 'arm64'}`,
);
