import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, connectDatabase, databaseOf } from '@sovereign/checks';
import { localDevice, readBundle, type Bundle, type Device, type ServiceStatus } from '@sovereign/device';
import { step } from '@sovereign/report';
import { guestAddress, loadService, type FoundService, type ServiceDefinition } from '@sovereign/service';
import { canonicalJson, contentKeyed, sha256, workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';

/** In milliseconds. */
const PATIENCE = 240_000;

/** What was built, on a device of its own with settings of its own: nothing of the user's is touched. */
export class TestService {
  readonly folder = mkdtempSync(join(tmpdir(), 'sovereign-boot-'));
  readonly device: Device = localDevice(join(this.folder, 'device'));
  readonly found: FoundService;
  readonly bundle: Bundle;
  readonly #giveSettingsBack: () => void;

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
    this.#giveSettingsBack = useSettings(join(this.folder, 'config'));
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

  /** Deploys what was built with initialised data, where it has none yet; starts it and waits for its health. */
  async up(): Promise<void> {
    await putInitialisedData(this.bundle, this.file(''));
    await this.upFromNothing();
  }

  /** The same, where data that it has not makes the first boot. */
  async upFromNothing(): Promise<void> {
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
    this.#giveSettingsBack();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Settings and secrets are those of this folder, until the function that it gives is called. */
export function useSettings(folder: string): () => void {
  const before = process.env.XDG_CONFIG_HOME;
  process.env.XDG_CONFIG_HOME = folder;
  return () => {
    if (before === undefined) delete process.env.XDG_CONFIG_HOME;
    else process.env.XDG_CONFIG_HOME = before;
  };
}

const DATA_FILES = ['data.img', 'data.id'];

/**
 * A data disk as the first boot of this release leaves it, which takes half a minute of a core under emulation: made
 * once an image, on a device of its own, and stopped cleanly. Its secrets are gone with that device.
 * @returns the folder with its files
 */
async function initialisedData({ release, definition }: Bundle): Promise<string> {
  const { size } = definition.data;
  const key = sha256(canonicalJson({ root: release.root.sha256, size }));
  const made = await contentKeyed('test-data', key, async (folder) => {
    const service = await TestService.prepare();
    try {
      await service.upFromNothing();
      await service.device.stop(service.definition, 60);
      await copySparse(DATA_FILES.map(service.file), folder);
    } finally {
      await service.remove();
    }
  });
  return made.folder;
}

/**
 * Gives PostgreSQL data that is initialised, so that a test which is not about the first boot need not wait for it.
 * @param folder the service's on a device, as a path on this machine; left alone where it has a data disk
 */
export async function putInitialisedData(bundle: Bundle, folder: string): Promise<void> {
  if (existsSync(join(folder, 'data.img'))) return;
  const data = await initialisedData(bundle);
  await mkdir(folder, { recursive: true });
  await copySparse(
    DATA_FILES.map((name) => join(data, name)),
    folder,
  );
}

const copySparse = (files: readonly string[], folder: string) =>
  execa('cp', ['--sparse=always', ...files, folder]);
