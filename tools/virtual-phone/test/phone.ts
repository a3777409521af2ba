import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { appendFile, copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { databaseOf } from '@sovereign/checks';
import {
  execInGuest,
  readBundle,
  selectDevice,
  type Bundle,
  type Device,
  type TailnetChange,
} from '@sovereign/device';
import { step } from '@sovereign/report';
import { guestAddress, loadService, type FoundService, type ServiceDefinition } from '@sovereign/service';
import { sha256File, workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';
import { putInitialisedData, useSettings } from 'rootfs-sql/testing/service';
import { runNx, runsNx, whileBuilt } from '../src/built.ts';
import { inside } from '../src/life.ts';
import { findPhone } from '../src/state.ts';

const command = join(import.meta.dirname, '..', 'phone');

/** Seconds for a guest to be healthy: more than a person's patience, since it is emulated and the machine may be busy. */
export const PATIENCE = 280;

/** A test phone, driven by the command that people use. */
export class Phone {
  readonly name: string;
  readonly serial: string;

  private constructor(name: string, serial: string) {
    this.name = name;
    this.serial = serial;
  }

  static async start(name: string, ...flags: string[]): Promise<Phone> {
    // One that a killed run left.
    await execa(command, ['stop', name], { reject: false });
    const lines = (await execa(command, ['start', name, ...flags])).stdout.trim().split('\n');
    return new Phone(name, lines.at(-1) ?? '');
  }

  /** Another verb of the command, for this phone. */
  async run(verb: string, ...args: string[]): Promise<void> {
    await execa(command, [verb, this.name, ...args]);
  }

  /** Standard output of a script that root's shell runs on the phone itself, whether adb reaches it or not. */
  async shell(script: string): Promise<string> {
    // Not by the command: what waits for something asks several times a second.
    const ran = await inside(await findPhone(this.name), ['sh', '-c', script]);
    if (ran instanceof Error) throw ran;
    return ran.stdout ?? '';
  }

  /** Where a file of the phone is on this machine. */
  async path(file: string): Promise<string> {
    const { pid } = (await findPhone(this.name)).processes.phone ?? {};
    if (pid === undefined) throw new Error(`the test phone ${this.name} is off`);
    return `/proc/${pid}/root${file}`;
  }

  stop = (): Promise<void> => this.run('stop');

  /** Its rules and interfaces, without what is numbered anew by a restart. */
  async rules(): Promise<string[]> {
    return [
      await this.shell("ip rule; ip link | grep -v link/ | sed 's/@[^:]*//'"),
      await this.shell("iptables-save | sed -e '/^#/d' -e 's/\\[[0-9:]*\\]//'"),
    ];
  }
}

/** What was built of PostgreSQL, on a phone. The settings are of this test alone: nothing of the user's is touched. */
export class PhoneService {
  readonly phone: Phone;
  readonly device: Device;
  readonly bundle: Bundle;
  readonly #found: FoundService;

  static async on(phone: Phone): Promise<PhoneService> {
    const found = await loadService(join(workspaceRoot(), 'packages/rootfs-sql'));
    const bundle = await whileBuilt(() => readBundle(workspaceRoot(), found));
    return new PhoneService(phone, await selectDevice({ serial: phone.serial }), found, bundle);
  }

  /** The same image as a second service, with an address and a data disk of its own. It knows the first one by name. */
  neighbour(): PhoneService {
    const definition = {
      ...this.definition,
      name: 'neighbour',
      net: { index: this.definition.net.index + 1 },
    };
    const { name, net } = this.definition;
    const release = { ...this.bundle.release, service: definition.name };
    const first = { name, address: guestAddress({ net }), definition: this.definition };
    const bundle = { ...this.bundle, definition, release, neighbours: [first] };
    return new PhoneService(this.phone, this.device, { ...this.#found, definition }, bundle);
  }

  /** The release that was built, with another file as root file system. */
  async withRoot(file: string): Promise<Bundle> {
    const root = { sha256: await sha256File(file), size: statSync(file).size };
    return {
      ...this.bundle,
      release: { ...this.bundle.release, root },
      files: { ...this.bundle.files, root: file },
    };
  }

  /** The same with another digest alone: what stands behind the end of a file system changes nothing. */
  async padded(folder: string): Promise<Bundle> {
    const image = join(folder, `padded-${randomBytes(4).toString('hex')}`);
    await whileBuilt(() => copyFile(this.bundle.files.root, image));
    await appendFile(image, randomBytes(4096));
    return this.withRoot(image);
  }

  private constructor(phone: Phone, device: Device, found: FoundService, bundle: Bundle) {
    this.phone = phone;
    this.device = device;
    this.bundle = bundle;
    this.#found = found;
  }

  get definition(): ServiceDefinition {
    return this.#found.definition;
  }

  /** Gives it data that is initialised, where it has none yet. */
  async putData(): Promise<void> {
    const folder = await this.phone.path(`/data/sovereign/services/${this.definition.name}`);
    await putInitialisedData(this.bundle, folder);
  }

  /** Deploys what was built with initialised data, where it has none yet; starts it and waits for its health. */
  async up(network?: 'vsock' | 'tap', tailnet?: TailnetChange): Promise<void> {
    await this.deploy(network, tailnet);
    await this.start();
  }

  /** The first half of `up`, which reads what was built. */
  async deploy(network?: 'vsock' | 'tap', tailnet?: TailnetChange): Promise<void> {
    await this.putData();
    const options = {
      consent: true,
      ...(network === undefined ? {} : { network }),
      ...(tailnet === undefined ? {} : { tailnet }),
    };
    await whileBuilt(() => this.device.deploy(this.bundle, options));
  }

  async start(): Promise<void> {
    await this.device.start(this.definition);
    await this.healthy();
  }

  healthy = (): Promise<void> => this.device.waitHealthy(this.definition, PATIENCE);

  async status() {
    const [status] = await this.device.status([this.definition]);
    if (status === undefined) throw new Error('the device told nothing of the service');
    return status;
  }

  /** One statement with the service's own credentials, over the forwarded port. */
  query = (sql: string): Promise<Record<string, unknown>[]> =>
    databaseOf(this.device, this.definition).query(sql);

  /** Standard output of a command in the guest. */
  async inGuest(...argv: string[]): Promise<string> {
    return (await execInGuest(await this.device.ssh(this.definition), argv)).stdout;
  }

  /** What the launcher says on the phone itself, without adb: `sql health`, `- gvproxy` and so on to their values. */
  async told(): Promise<Record<string, string>> {
    const status = await this.phone.shell(
      'read -r agent </data/sovereign/agent/current && sh /data/sovereign/agent/$agent/launch.sh status /data/sovereign',
    );
    return Object.fromEntries(
      status.split('\n').flatMap((line) => {
        const [, key, value] = /^(\S+ \S+) (.*)$/.exec(line) ?? [];
        return key === undefined || value === undefined ? [] : [[key, value] as const];
      }),
    );
  }

  /** Waits until the launcher, asked on the phone itself, says so. */
  until(
    what: string,
    wanted: (told: Record<string, string>) => boolean,
    seconds = PATIENCE,
  ): Promise<Record<string, string>> {
    return step(`wait for ${what}`, async () => {
      const end = performance.now() + seconds * 1000;
      let told: Record<string, string> = {};
      while (performance.now() < end) {
        told = await this.told().catch(() => ({}));
        if (wanted(told)) return told;
        await sleep(250);
      }
      throw new Error(`no ${what} after ${seconds} s: ${JSON.stringify(told)}`);
    });
  }

  /** Waits for the health of a service that starts, as the launcher sees it. */
  healthyThere = (): Promise<Record<string, string>> =>
    this.until(
      'the service to be healthy, without adb',
      (told) => told['sql state'] === 'running' && told['sql health'] === 'ok',
    );
}

/** Ends and output of a command that a person would run in the checkout. */
export interface Ran {
  status: number;
  stdout: string;
  stderr: string;
}

async function inCheckout(
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Ran> {
  const root = workspaceRoot();
  const { exitCode, stdout, stderr } = await execa(join(root, command), args, {
    cwd: root,
    // No device of whoever runs the tests, and no log of the run that this one is part of.
    env: { NX_DAEMON: 'false', SOVEREIGN_EVENTS: '', ANDROID_SERIAL: '', ...env },
    stdin: 'ignore',
    reject: false,
  });
  return { status: exitCode ?? 1, stdout, stderr };
}

/** `./sovereign`, as a user runs it. */
export const sovereign = (...args: string[]): Promise<Ran> =>
  runsNx(args) ? runNx((env) => inCheckout('sovereign', args, env)) : inCheckout('sovereign', args);

/** `nx`, as a developer runs it. */
export const nx = (...args: string[]): Promise<Ran> =>
  runNx((env) => inCheckout('node_modules/.bin/nx', args, env));

/** The one document of a command that ended with `status`; all that it said where it ended otherwise. */
export function documentOf({ stdout, stderr, ...ran }: Ran, status = 0): unknown {
  if (ran.status === status) return JSON.parse(stdout) as unknown;
  throw new Error(`it ended with ${ran.status} instead of ${status}:\n${stdout}\n${stderr.slice(-4000)}`);
}

/** Flags of commands that wait for a service on this phone, and answer in one document. */
export const waiting = ({ serial }: Phone): string[] => [
  '-s',
  serial,
  '--json',
  '--timeout',
  String(PATIENCE),
];

/** One statement by psql itself, over the forwarded port; what it prints, unaligned. */
export async function psql(phone: Phone, statement: string): Promise<string> {
  const ran = await sovereign('connect', 'sql', '-s', phone.serial, '--', '-XAtqc', statement);
  if (ran.status !== 0) throw new Error(`psql ended with ${ran.status}: ${ran.stderr}`);
  return ran.stdout;
}

/** An empty home for settings and secrets, until `remove`. */
export function ownSettings(): { remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'sovereign-phone-'));
  const giveBack = useSettings(folder);
  return {
    remove: () => {
      giveBack();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
