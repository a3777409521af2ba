import { randomInt } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, connectDatabase, databaseOf } from '@sovereign/checks';
import { localDevice, readBundle, type Bundle, type Device, type ServiceStatus } from '@sovereign/device';
import { step } from '@sovereign/report';
import { guestAddress, loadService, type FoundService, type ServiceDefinition } from '@sovereign/service';
import { canonicalJson, workspaceRoot } from '@sovereign/store';
import { vi } from 'vitest';

/** In milliseconds. */
const PATIENCE = 240_000;

/** What was built, on a device of its own with settings of its own: nothing of the user's is touched. */
export class TestService {
  readonly folder = mkdtempSync(join(tmpdir(), 'sovereign-boot-'));
  readonly device: Device = localDevice(join(this.folder, 'device'));
  readonly found: FoundService;
  readonly bundle: Bundle;

  static async prepare(): Promise<TestService> {
    const found = await loadService(join(import.meta.dirname, '..'));
    return new TestService(found, await readBundle(workspaceRoot(), found));
  }

  private constructor(found: FoundService, bundle: Bundle) {
    this.found = found;
    this.bundle = bundle;
    // Of its own, as if it had had them before: two files at a time would take each other's while a machine is down.
    // Chance alone gave two of them the same now and then: the worker decides too.
    const first = (randomInt(1_000, 1_600) * 2 + (Number(process.env.VITEST_POOL_ID ?? 0) % 2)) * 10;
    const ports = [...found.definition.ports.map(({ name }) => name), 'ssh'];
    const chosen = Object.fromEntries(ports.map((name, index) => [name, first + index]));
    mkdirSync(join(this.folder, 'device'));
    writeFileSync(
      join(this.folder, 'device/ports.json'),
      canonicalJson({ schema: 1, services: { [found.definition.name]: chosen } }),
    );
    vi.stubEnv('XDG_CONFIG_HOME', join(this.folder, 'config'));
  }

  get definition(): ServiceDefinition {
    return this.found.definition;
  }

  /** What was built as another service of the same device, which knows this one by its name. */
  neighbour(): Bundle {
    const definition: ServiceDefinition = {
      ...this.definition,
      name: 'neighbour',
      net: { index: this.definition.net.index + 1 },
    };
    const release = { ...this.bundle.release, service: definition.name };
    const { name } = this.definition;
    const neighbours = [{ name, address: guestAddress(this.definition), definition: this.definition }];
    return { ...this.bundle, definition, release, neighbours };
  }

  /** Deploys what was built, starts it and waits for its health. */
  async up(): Promise<void> {
    await this.device.deploy(this.bundle);
    await this.device.start(this.definition);
    await this.device.waitHealthy(this.definition, this.definition.health.deadline);
  }

  /** What the device keeps of the service, as a path. */
  file = (name: string): string => join(this.folder, 'device/services', this.definition.name, name);

  /** The content of such a file without its line end; empty where there is none. */
  text = async (name: string): Promise<string> =>
    (await readFile(this.file(name), 'utf8').catch(() => '')).trim();

  async status(): Promise<ServiceStatus> {
    const [status] = await this.device.status([this.definition]);
    if (status === undefined) throw new Error(`the device knows no ${this.definition.name}`);
    return status;
  }

  /**
   * Waits until it is so: longer than a busy machine takes, whose disk alone may hold a process for a minute. Where it
   * does not come, what the device says and what the launcher did last is told.
   */
  until(what: string, isSo: () => boolean | Promise<boolean>, interval = 250): Promise<void> {
    return step(`wait for ${what}`, async () => {
      const end = performance.now() + PATIENCE;
      while (!(await isSo())) {
        if (performance.now() > end) {
          const log = (await this.text('log/launcher.log')).split('\n').slice(-5).join(' | ');
          throw new Error(`waited in vain for ${what}: ${JSON.stringify(await this.status())}; ${log}`);
        }
        await sleep(interval);
      }
    });
  }

  /** A connection with the service's own credentials, over the published port. */
  connect = () => connectDatabase(this.device, this.definition);

  /** One statement over a connection of its own. */
  query = (sql: string): Promise<Record<string, unknown>[]> =>
    databaseOf(this.device, this.definition).query(sql);

  password = (): Promise<string> => this.device.secret(this.definition, 'postgres-password');

  /** One statement with this password. */
  async queryWith(password: string, sql: string): Promise<void> {
    const { endpoints } = await this.status();
    const client = await connect({ url: endpoints[0]?.url ?? '', password });
    try {
      await client.query(sql);
    } finally {
      await client.end();
    }
  }

  /** Where this workstation keeps the secrets of the device. */
  secretsFolder(): string {
    const devices = join(this.folder, 'config/sovereign/devices');
    const [id = ''] = readdirSync(devices).filter((name) => !name.includes('.'));
    return join(devices, id);
  }

  async remove(): Promise<void> {
    await this.device.stop(this.definition, 60);
    vi.unstubAllEnvs();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
