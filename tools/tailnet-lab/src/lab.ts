import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SovereignError, step } from '@sovereign/report';
import { workspaceRoot } from '@sovereign/store';
import { runNx, runsNx } from 'virtual-phone/built';
import { ControlServer } from './control-server.ts';
import { Rooms, type Inside, type Outcome } from './rooms.ts';
import { control, rooms, rulesOf, sites, type Nat, type Room, type SiteName } from './topology.ts';
import { TailnetClient } from './client.ts';

/** What another process needs to know of a lab. */
export interface LabState {
  folder: string;
  /** By name of the room: a process in it. */
  pids: Record<string, number>;
  /** Path of the program. */
  headscale: string;
}

/** Network namespaces, routers and a control server of their own; no packet leaves them. */
export class Lab {
  /** Everything that the lab keeps; gone with `remove`. */
  readonly folder: string;
  readonly rooms: Rooms;
  readonly server: ControlServer;
  /** A real client behind a router of its own. */
  readonly laptop: TailnetClient;

  private constructor(folder: string, rooms: Rooms) {
    this.folder = folder;
    this.rooms = rooms;
    this.server = new ControlServer(rooms, join(folder, 'control'));
    this.laptop = new TailnetClient(rooms, 'laptop', join(folder, 'laptop'), this.server.ca);
  }

  /** A lab that another process holds. */
  static of({ folder, pids, headscale }: LabState): Lab {
    const lab = new Lab(folder, Rooms.of(pids));
    lab.server.program = headscale;
    return lab;
  }

  get state(): LabState {
    return { folder: this.folder, pids: this.rooms.pids, headscale: this.server.program };
  }

  /** With routers that do what Linux does by itself; the laptop is not logged in yet. */
  static async start(): Promise<Lab> {
    return step('start the lab', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'sovereign-lab-'));
      const lab = new Lab(folder, await Rooms.open(folder));
      try {
        await lab.#build();
        await lab.server.start();
        return lab;
      } catch (error) {
        await lab.remove();
        throw error;
      }
    });
  }

  async #build(): Promise<void> {
    const resolvConf = join(this.folder, 'resolv.conf');
    await writeFile(resolvConf, `nameserver ${control.address}\n`);
    for (const name of rooms) await this.rooms.add(name, resolvConf);
    await this.rooms.cable(['internet', 'control'], ['control', 'wan']);
    await this.rooms.ip('control', [
      `addr add ${control.address}/24 dev wan`,
      'link set wan up',
      `route add default via ${control.gateway}`,
    ]);
    await this.rooms.ip('internet', [`addr add ${control.gateway}/24 dev control`, 'link set control up']);
    await this.#forward('internet');
    for (const name of Object.keys(sites) as SiteName[]) await this.#buildSite(name);
    await this.uplink('home');
    await this.rooms.ip('laptop', [`route add default via ${sites.laptop.gateway}`]);
  }

  async #buildSite(name: SiteName): Promise<void> {
    const { router, host, port, address, provider, gateway, inner } = sites[name];
    await this.rooms.cable(['internet', name], [router, 'wan']);
    await this.rooms.cable([router, 'lan'], [host, port]);
    await this.rooms.ip('internet', [
      `addr add ${provider}/30 dev ${name}`,
      `link set ${name} up`,
      `route add ${gateway}/24 via ${address} dev ${name}`.replace('.1/24', '.0/24'),
    ]);
    await this.rooms.ip(router, [
      `addr add ${address}/30 dev wan`,
      `addr add ${gateway}/24 dev lan`,
      'link set wan up',
      'link set lan up',
      `route add default via ${provider}`,
    ]);
    await this.rooms.ip(host, [`addr add ${inner}/24 dev ${port}`, `link set ${port} up`]);
    await this.#forward(router);
    await this.nat(name, 'port-restricted');
  }

  #forward(room: Room): Promise<string> {
    return this.rooms.must(room, ['sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward']);
  }

  /** Makes a router one of another kind; translations that are open stay. */
  async nat(site: SiteName, nat: Nat): Promise<void> {
    await this.rooms.must(sites[site].router, ['nft', '-f', '-'], { input: rulesOf(nat, sites[site]) });
  }

  /** A router forgets its translations, as it does when it dials anew: the next packet gets another port. */
  async rebind(site: SiteName): Promise<void> {
    const { router, address, provider } = sites[site];
    // Linux drops what it masqueraded when the address goes.
    await this.rooms.ip(router, [
      `addr del ${address}/30 dev wan`,
      `addr add ${address}/30 dev wan`,
      `route replace default via ${provider}`,
    ]);
  }

  /** Leads the home's traffic over another uplink. */
  async uplink(site: 'home' | 'mobile'): Promise<void> {
    await this.rooms.ip('home', [`route replace default via ${sites[site].gateway}`]);
  }

  /** Largest packet in bytes on the line between a router and the internet. */
  async mtu(site: SiteName, bytes: number): Promise<void> {
    await this.rooms.ip(sites[site].router, [`link set wan mtu ${bytes}`]);
    await this.rooms.ip('internet', [`link set ${site} mtu ${bytes}`]);
  }

  /** Takes a router's line down, or up again. */
  async line(site: SiteName, state: 'up' | 'down'): Promise<void> {
    await this.rooms.ip('internet', [`link set ${site} ${state}`]);
    const { gateway, address } = sites[site];
    if (state === 'down') return;
    // The routes went with the interface.
    const subnet = `${gateway.replace(/\.\d+$/, '.0')}/24`;
    await this.rooms.ip('internet', [`route replace ${subnet} via ${address} dev ${site}`]);
  }

  run(room: Room, argv: readonly string[], inside?: Inside): Promise<Outcome> {
    return this.rooms.run(room, argv, inside);
  }

  must(room: Room, argv: readonly string[], inside?: Inside): Promise<string> {
    return this.rooms.must(room, argv, inside);
  }

  /** Command lines of what runs in a room, each word ended by NUL. What ends meanwhile is left out. */
  commandLines(room: Room): Promise<string> {
    return this.must(room, ['sh', '-c', 'cat /proc/[0-9]*/cmdline 2>/dev/null || :']);
  }

  /** The command line of the checkout, at home, with settings and data of the lab alone. */
  sovereign(args: readonly string[], inside: Inside = {}): Promise<Outcome> {
    // Past the script that brings dependencies: at home there is nowhere to bring them from.
    const run = (env: Record<string, string> = {}) =>
      this.run('home', [process.execPath, 'packages/cli/src/main.ts', ...args], {
        ...inside,
        cwd: workspaceRoot(),
        env: { ...this.homeEnv, ...env, ...inside.env },
      });
    return runsNx(args) ? runNx(run) : run();
  }

  /** Its document, of a run that has to end with 0. @throws SovereignError */
  async sovereignJson(args: readonly string[], inside: Inside = {}): Promise<unknown> {
    const { status, stdout, stderr } = await this.sovereign([...args, '--json'], inside);
    if (status === 0) return JSON.parse(stdout) as unknown;
    throw new SovereignError({
      code: 'lab-command',
      what: `./sovereign ${args.join(' ')} ended with ${status}`,
      on: 'home',
      hint: `${stdout.trim()}\n${stderr.trim().split('\n').slice(-20).join('\n')}`,
    });
  }

  /** Settings and data of the lab alone, for the command line at home. */
  get homeEnv() {
    return {
      XDG_CONFIG_HOME: join(this.folder, 'home/config'),
      XDG_DATA_HOME: join(this.folder, 'home/data'),
      NX_DAEMON: 'false',
    };
  }

  remove(): Promise<void> {
    return this.rooms.remove();
  }
}
