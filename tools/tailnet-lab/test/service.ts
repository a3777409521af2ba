import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { step } from '@sovereign/report';
import { expect, vi } from 'vitest';
import type { KeyOptions } from '../src/control-server.ts';
import type { Lab } from '../src/lab.ts';

/** What `status --json` says of a service, as far as these tests read it. */
export interface Told {
  state: string;
  healthy: boolean | null;
  slot: string;
  trial: boolean;
  release: string;
  attention?: unknown;
  tailnet?: {
    state: string;
    address?: string;
    name?: string;
    expires?: string | null;
    id?: string;
    url?: string;
    detail?: string;
    https?: { state: string; name?: string; expires?: string; from?: string; detail?: string };
  };
  endpoints: { name: string; url: string; via?: string }[];
}

/** How long anything may take on a machine that has other work, in milliseconds. */
export const PATIENCE = 120_000;

/** Whom the lab's policy lets nodes be tagged as. */
export const TAG = 'tag:sovereign';

/** What is in the one table that tests read. */
export const ROW = 'a row';

export interface SqlNode {
  address: string;
  id: string;
  name: string;
}

/** PostgreSQL on the local device at the lab's home, driven by the command line, reached from its laptop. */
export class SqlAtHome {
  readonly lab: Lab;
  /** That its first login used. */
  key = '';
  /** As it was after its first login. */
  node: SqlNode = { address: '', id: '', name: '' };
  #password = '';

  private constructor(lab: Lab) {
    this.lab = lab;
  }

  /** In the tailnet by a key for tagged nodes, the laptop too, with a table that holds one row. */
  static async start(lab: Lab): Promise<SqlAtHome> {
    const sql = new SqlAtHome(lab);
    await lab.laptop.up(lab.server.url, await lab.server.key());
    const { key, file } = await sql.keyFile({ tags: [TAG] });
    sql.key = key;
    await sql.#up(file);
    sql.node = await sql.reachable();
    await sql.answers(sql.node.address, `create table kept as select '${ROW}' as value`, 'SELECT 1');
    return sql;
  }

  /** Writes a key of the control server to a file. */
  async keyFile(options?: KeyOptions): Promise<{ key: string; file: string }> {
    const key = await this.lab.server.key(options);
    const file = join(this.lab.folder, 'key');
    await writeFile(file, `${key}\n`, { mode: 0o600 });
    return { key, file };
  }

  async #up(keyFile: string): Promise<void> {
    await this.lab.sovereignJson([
      ...['up', '--sql', '-s', 'local', '--tailnet-key', keyFile, '--tailnet-server', this.lab.server.url],
      ...['--tailnet-ca', this.lab.server.ca, '--tailnet-tags', TAG, '--timeout', '600'],
    ]);
    this.#password = (
      await this.lab.sovereign(['secrets', 'show', 'sql', 'postgres-password', '-s', 'local', '--yes'])
    ).stdout.trim();
  }

  async told(): Promise<Told> {
    const { stdout } = await this.lab.sovereign(['status', 'sql', '-s', 'local', '--json']);
    const { devices } = JSON.parse(stdout) as { devices: { services: Told[] }[] };
    const found = devices[0]?.services[0];
    if (found === undefined) throw new Error(`no service in ${stdout}`);
    return found;
  }

  /** Waits until the service is in the tailnet, and gives its node. */
  reachable(): Promise<SqlNode> {
    return step('wait for the service in the tailnet', () =>
      vi.waitFor(
        async () => {
          const { tailnet } = await this.told();
          expect(tailnet).toMatchObject({ state: 'running' });
          const { address = '', id = '', name = '' } = tailnet ?? {};
          return { address, id, name };
        },
        { timeout: PATIENCE, interval: 1000 },
      ),
    );
  }

  /** One statement from the laptop, over the tailnet; what psql says where it fails. */
  async query(address: string, sql: string, timeout = PATIENCE): Promise<string> {
    const { status, stdout, stderr } = await this.lab.run(
      'laptop',
      ['psql', '--no-psqlrc', '-h', address, '-U', 'postgres', '-v', 'ON_ERROR_STOP=1', '-Atc', sql],
      { env: { PGPASSWORD: this.#password, PGCONNECT_TIMEOUT: '10' }, timeout },
    );
    return status === 0 ? stdout : `exit ${status}: ${stderr}`;
  }

  /** Waits until a statement from the laptop gives this. */
  answers(address: string, sql: string, wanted: string): Promise<void> {
    return step('wait for an answer over the tailnet', () =>
      vi.waitFor(async () => expect(await this.query(address, sql)).toBe(wanted), {
        timeout: PATIENCE,
        interval: 500,
      }),
    );
  }

  /** Waits until the service is in the tailnet, as the node that it was. */
  async isSameNode(): Promise<void> {
    expect(await this.reachable()).toEqual(this.node);
  }

  /** Waits until the row comes over the tailnet. */
  rowComes(): Promise<void> {
    return this.answers(this.node.address, 'select value from kept', ROW);
  }

  /** Standard output of a shell's script in the guest, which reads `input`. */
  async inGuest(script: string, input = ''): Promise<string> {
    const words = ['exec', 'sql', '-s', 'local', '--', 'sh', '-c', script];
    const { status, stdout, stderr } = await this.lab.sovereign(words, input === '' ? {} : { input });
    if (status !== 0) throw new Error(`${script}: exit ${status}: ${stderr}`);
    return stdout;
  }
}
