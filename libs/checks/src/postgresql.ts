import { randomUUID } from 'node:crypto';
import { fail, pass, type Check, type CheckContext } from './contract.ts';

/** A table of its own for each run, whoever else checks the same database. */
const newTable = (): string => `sovereign_check_${randomUUID().replaceAll('-', '')}`;

/** The disk says that it was initialised, and the server says how it runs on it. */
const initialised: Check = {
  name: 'sql.initialised',
  async run({ guest, database, definition }) {
    const { status, stdout } = await guest.exec(['cat', '/data/sovereign.json']);
    if (status !== 0) return fail('the data disk has no sovereign.json');
    const record = JSON.parse(stdout) as Record<string, unknown>;
    const { kind, major } = definition.data;
    if (record.initialised !== true || record.kind !== kind || record.major !== major) {
      return fail(`sovereign.json says ${JSON.stringify(record)}`);
    }
    const wanted = { data_checksums: 'on', fsync: 'on', password_encryption: 'scram-sha-256' };
    const names = Object.keys(wanted).map((name) => `current_setting('${name}') as ${name}`);
    const [row] = await database.query(
      `select ${names.join(', ')}, current_setting('server_version_num')::int / 10000 as major`,
    );
    const wrong = Object.entries({ ...wanted, major })
      .filter(([name, value]) => row?.[name] !== value)
      .map(([name]) => `${name} is ${String(row?.[name])}`);
    return wrong.length === 0
      ? pass(`${kind} ${major}, checksums and fsync on, scram-sha-256`)
      : fail(wrong.join(', '));
  },
};

/** A write and a read, each over a connection of its own through the published port. */
const query: Check = {
  name: 'sql.query',
  async run(context) {
    return withTable(context, async (table) => {
      const id = await write(context, table);
      const found = await count(context, table, id);
      return found === 1
        ? pass('a row was written, and read over another connection')
        : fail(`${found} rows, not 1`);
    });
  },
};

/** A row that was acknowledged is there after a clean restart, and the restart was one. */
const kept: Check = {
  name: 'data.kept',
  async run(context) {
    return withTable(context, async (table) => {
      const id = await write(context, table);
      const before = await bootId(context);
      await context.restart();
      const after = await bootId(context);
      if (before === after) return fail('the guest was not restarted');
      const found = await count(context, table, id);
      return found === 1
        ? pass('the row is there after a restart')
        : fail(`${found} rows after a restart, not 1`);
    });
  },
};

/** Runs some work with a table of its own, which is gone afterwards, however the work ends. */
async function withTable<T>({ database }: CheckContext, work: (table: string) => Promise<T>): Promise<T> {
  const table = newTable();
  await database.query(`create table ${table} (id uuid primary key)`);
  try {
    return await work(table);
  } finally {
    // Where the database is gone too, what the work failed with says more.
    await database.query(`drop table if exists ${table}`).catch(() => undefined);
  }
}

async function write({ database }: CheckContext, table: string): Promise<string> {
  const id = randomUUID();
  await database.query(`insert into ${table} values ($1)`, [id]);
  return id;
}

async function count({ database }: CheckContext, table: string, id: string): Promise<number> {
  const rows = await database.query(`select id from ${table} where id = $1`, [id]);
  return rows.length;
}

async function bootId({ guest }: CheckContext): Promise<string> {
  const { status, stdout } = await guest.exec(['cat', '/proc/sys/kernel/random/boot_id']);
  if (status !== 0 || stdout.trim() === '') throw new Error('the guest does not tell its boot');
  return stdout.trim();
}

/** The last one restarts the service. */
export const postgresqlChecks: readonly Check[] = [initialised, query, kept];
