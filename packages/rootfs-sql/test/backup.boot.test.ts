import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { backupService, restoreService, verifyBackup } from '@sovereign/backup';
import { databaseOf } from '@sovereign/checks';
import { execInGuest, localDevice } from '@sovereign/device';
import { dataDir } from '@sovereign/store';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { TestService } from './service.ts';

/** Clients that write while the backup is made. */
const WRITERS = 2;
/** Rows that are there before. */
const ROWS = 5_000;

let service: TestService;

beforeAll(async () => {
  service = await TestService.prepare();
  // Where the machine for the check is, too.
  vi.stubEnv('XDG_DATA_HOME', join(service.folder, 'data'));
  await service.up();
  await service.query(
    `create table loaded as select n, repeat('x', 200) as filling from generate_series(1, ${ROWS}) n`,
  );
  await service.query('alter table loaded add primary key (n)');
  await service.query('create table ledger (writer int, entry int, primary key (writer, entry))');
  await service.query("create role app login password 'of the app'");
});

afterAll(() => service.remove());

/** What the server said it had stored: per writer, its last entry. */
const acknowledged = Array.from({ length: WRITERS }, () => 0);

/** Writes one entry a transaction, and changes rows that are there, until it is told to end. */
async function write(writer: number, until: AbortSignal): Promise<void> {
  const client = await service.connect();
  try {
    for (let entry = 1; !until.aborted; entry++) {
      await client.query('insert into ledger values ($1, $2)', [writer, entry]);
      await client.query('update loaded set filling = $2 where n = $1', [1 + (entry % ROWS), String(entry)]);
      acknowledged[writer] = entry;
    }
  } finally {
    await client.end();
  }
}

test('a backup under writes is verified, restored on another device, and taken back', async () => {
  const { device, definition, bundle, folder } = service;
  const end = new AbortController();
  const writers = acknowledged.map((_, writer) => write(writer, end.signal));
  await service.until('every writer to write', () => acknowledged.every((entry) => entry > 0));
  const before = [...acknowledged];
  const made = await backupService(device, definition, { to: join(folder, 'backups') });
  const during = acknowledged.map((entry, writer) => entry - (before[writer] ?? 0));
  end.abort();
  await Promise.all(writers);
  // It was a backup of a database in use.
  expect(Math.min(...during)).toBeGreaterThan(0);
  // Two machines at once would only take turns.
  await device.stop(definition, 60);

  const verified = await verifyBackup(device, bundle);
  expect(verified).toMatchObject({ snapshot: made.id, tables: 2 });
  expect(verified.rows).toBeGreaterThanOrEqual(ROWS + before.reduce((sum, entry) => sum + entry, 0));
  expect(existsSync(dataDir('verify'))).toBe(false);

  const other = localDevice(join(folder, 'another device'));
  try {
    await other.deploy(bundle);
    const { id: of } = await device.inventory();
    expect(await restoreService(other, definition, { of })).toMatchObject({ rows: verified.rows });
    const query = (sql: string) => databaseOf(other, definition).query(sql);
    // Each writer wrote in order: what one snapshot saw of it has no gap.
    const ledger = await query(
      'select writer, count(*)::int as count, max(entry) as last from ledger group by 1',
    );
    for (const { count, last } of ledger) expect(count).toBe(last);
    const [role] = await query(
      "select rolpassword like 'SCRAM-SHA-256$%' as known from pg_authid where rolname = 'app'",
    );
    expect(role).toEqual({ known: true });
    const check =
      'read -r _ bin <<E\n$(grep ^postgresql-programs /etc/sovereign/base.conf)\nE\nexec "$bin/pg_amcheck" -h /run/postgresql -U postgres --all --install-missing --heapallindexed';
    const amcheck = await execInGuest(await other.ssh(definition), ['sh', '-c', check]);
    expect(amcheck).toMatchObject({ status: 0, stdout: '' });

    await other.undoRestore(definition);
    await other.waitHealthy(definition, definition.health.deadline);
    // The data from before: none.
    expect(await query("select 1 from pg_tables where tablename = 'ledger'")).toEqual([]);
  } finally {
    await other.stop(definition, 60);
  }
});
