import { type ChildProcess, spawn } from 'node:child_process';
import { on } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readBundle } from '@sovereign/device';
import { step } from '@sovereign/report';
import { loadService } from '@sovereign/service';
import { workspaceRoot } from '@sovereign/store';
import { putInitialisedData } from 'rootfs-sql/testing/service';
import { whileBuilt } from 'virtual-phone/built';
import { expect, vi } from 'vitest';
import type { KeyOptions } from '../src/control-server.ts';
import type { Lab } from '../src/lab.ts';
import type { Room } from '../src/topology.ts';
import type { Answer, Question } from './at-home.ts';

/** What `status --json` says of a service, as far as these tests read it: the device's own answer. */
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
  #helper: ChildProcess | undefined;
  #asked = 0;

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
    const bundle = await whileBuilt(async () =>
      readBundle(workspaceRoot(), await loadService(join(workspaceRoot(), 'packages/rootfs-sql'))),
    );
    const device = join(this.lab.homeEnv.XDG_DATA_HOME, 'sovereign/local');
    await putInitialisedData(bundle, join(device, 'services/sql'));
    await this.lab.sovereignJson([
      ...['up', '--sql', '-s', 'local', '--tailnet-key', keyFile, '--tailnet-server', this.lab.server.url],
      ...['--tailnet-ca', this.lab.server.ca, '--tailnet-tags', TAG, '--timeout', '600'],
    ]);
    this.#password = (
      await this.lab.sovereign(['secrets', 'show', 'sql', 'postgres-password', '-s', 'local', '--yes'])
    ).stdout.trim();
  }

  told = (): Promise<Told> => this.#atHome({ ask: 'status' }) as Promise<Told>;

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
  query = (address: string, sql: string, timeout = PATIENCE): Promise<string> =>
    this.#psql('laptop', ['-h', address], sql, timeout);

  /** The same at home, beside the tailnet. */
  async atHome(sql: string): Promise<string> {
    const local = (await this.told()).endpoints.find(({ via }) => via === undefined)?.url ?? '';
    const { hostname, port } = new URL(local);
    return this.#psql('home', ['-h', hostname, '-p', port], sql, PATIENCE);
  }

  async #psql(room: Room, server: readonly string[], sql: string, timeout: number): Promise<string> {
    const { status, stdout, stderr } = await this.lab.run(
      room,
      ['psql', '--no-psqlrc', ...server, '-U', 'postgres', '-v', 'ON_ERROR_STOP=1', '-Atc', sql],
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
  inGuest = async (script: string, input = ''): Promise<string> =>
    ((await this.#atHome({ ask: 'guest', script, input })) as string).replace(/\n$/, '');

  async #atHome(question: DistributiveOmit<Question, 'id'>): Promise<unknown> {
    this.#helper ??= spawn(...this.lab.rooms.enter('home', [process.execPath, helper]), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, ...this.lab.homeEnv },
    });
    const child = this.#helper;
    this.#asked += 1;
    const id = this.#asked;
    const done = new AbortController();
    child.send({ id, ...question } satisfies Question);
    try {
      const answers = on(child, 'message', { signal: done.signal, close: ['exit'] });
      for await (const [answer] of answers as AsyncIterable<[Answer]>) {
        if (answer.id !== id) continue;
        if (answer.error === undefined) return answer.value;
        throw new Error(answer.error);
      }
      throw new Error('what answers at home has ended');
    } finally {
      done.abort();
    }
  }
}

const helper = join(import.meta.dirname, 'at-home.ts');
type DistributiveOmit<T, K extends keyof T> = T extends unknown ? Omit<T, K> : never;
