import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, connectDatabase, databaseOf } from '@sovereign/checks';
import { localDevice, readBundle, type Bundle, type Device } from '@sovereign/device';
import { guestAddress, loadService, type FoundService, type ServiceDefinition } from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';
import { vi } from 'vitest';

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

  /** A connection with the service's own credentials, over the published port. */
  connect = () => connectDatabase(this.device, this.definition);

  /** One statement over a connection of its own. */
  query = (sql: string): Promise<Record<string, unknown>[]> =>
    databaseOf(this.device, this.definition).query(sql);

  password = (): Promise<string> => this.device.secret(this.definition, 'postgres-password');

  /** One statement with this password. */
  async queryWith(password: string, sql: string): Promise<void> {
    const [status] = await this.device.status([this.definition]);
    const client = await connect({ url: status?.endpoints[0]?.url ?? '', password });
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
