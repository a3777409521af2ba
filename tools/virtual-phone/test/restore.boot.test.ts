import { existsSync, mkdirSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { backupService, listBackups, migrateService, restoreService, verifyBackup } from '@sovereign/backup';
import type { Bundle } from '@sovereign/device';
import { dataDir } from '@sovereign/store';
import { openToolRoot } from '@sovereign/tools';
import { builtRoot, rebuildRoot } from 'rootfs-sql/testing';
import { putInitialisedData, TestService } from 'rootfs-sql/testing/service';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { whileBuilt } from '../src/built.ts';
import { Phone, PhoneService } from './phone.ts';

// Eight machines, one after the other.
vi.setConfig({ testTimeout: 600_000 });

/** Clients that write while the backup is made. */
const WRITERS = 2;
/** Rows that are there before. */
const ROWS = 5_000;

let service: TestService;
let phone: Phone;

beforeAll(async () => {
  phone = await Phone.start('restore-test');
  // With settings of its own, which the phone's side has from here on too.
  service = await whileBuilt(() => TestService.prepare());
  // Where the machine for the check is, too.
  vi.stubEnv('XDG_DATA_HOME', join(service.folder, 'data'));
  await putInitialisedData(service.bundle, service.file(''));
  const { device, definition } = service;
  await whileBuilt(() => device.deploy(service.bundle));
  await device.start(definition);
  await device.waitHealthy(definition, definition.health.deadline);
  await service.query(
    `create table loaded as select n, repeat('x', 200) as filling from generate_series(1, ${ROWS}) n`,
  );
  await service.query('alter table loaded add primary key (n)');
  await service.query('create table ledger (writer int, entry int, primary key (writer, entry))');
  await service.query("create role app login password 'of the app'");
});

afterAll(async () => {
  await phone.stop();
  await service.remove();
});

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

test('a backup under writes is verified, restored on a phone, and taken back', async () => {
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

  const verified = await whileBuilt(() => verifyBackup(device, bundle));
  expect(verified).toMatchObject({ snapshot: made.id, tables: 2 });
  expect(verified.rows).toBeGreaterThanOrEqual(ROWS + before.reduce((sum, entry) => sum + entry, 0));
  expect(existsSync(dataDir('verify'))).toBe(false);

  const there = await PhoneService.on(phone);
  await there.deploy();
  const { id: of } = await device.inventory();
  expect(await restoreService(there.device, definition, { of })).toMatchObject({ rows: verified.rows });
  // Each writer wrote in order: what one snapshot saw of it has no gap.
  const ledger = await there.query(
    'select writer, count(*)::int as count, max(entry) as last from ledger group by 1',
  );
  for (const { count, last } of ledger) expect(count).toBe(last);
  const [role] = await there.query(
    "select rolpassword like 'SCRAM-SHA-256$%' as known from pg_authid where rolname = 'app'",
  );
  expect(role).toEqual({ known: true });
  const check =
    'read -r _ bin <<E\n$(grep ^postgresql-programs /etc/sovereign/base.conf)\nE\n"$bin/pg_amcheck" -h /run/postgresql -U postgres --all --install-missing --heapallindexed 2>&1 && echo clean';
  expect(await there.inGuest('sh', '-c', check)).toBe('clean\n');

  await there.device.undoRestore(definition);
  await there.healthy();
  // The data from before: none.
  expect(await there.query("select 1 from pg_tables where tablename = 'ledger'")).toEqual([]);
});

/** Folder with the files of the real next major version; empty where there is none. */
const REAL = process.env.SOVEREIGN_NEXT_POSTGRESQL ?? '';

/**
 * Stands in for the image of the next major version, which the base has not: the PostgreSQL that there is, which says it
 * is the next one, and keeps its data where that would. Where SOVEREIGN_NEXT_POSTGRESQL names a folder with the real
 * one's files (docs/reliability.md), it is the real one.
 */
async function nextMajor(): Promise<Bundle> {
  const { bundle, definition, folder } = service;
  const { base } = await whileBuilt(builtRoot);
  const major = definition.data.major + 1;
  const overlay = REAL === '' ? join(folder, 'overlay') : REAL;
  if (REAL === '') {
    const programs = { alpine: 'usr/libexec/postgresql', debian: 'usr/lib/postgresql/' }[base];
    const link = join(overlay, `${programs}${major}`);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(`/${programs}${definition.data.major}`, link);
  }
  const built = join(folder, 'next');
  const tools = await openToolRoot();
  const sha256 = await whileBuilt(() => rebuildRoot(tools, built, base, { overlay, major }));
  const root = join(built, 'root.erofs');
  return {
    ...bundle,
    definition: { ...definition, data: { ...definition.data, major } },
    release: {
      ...bundle.release,
      root: { sha256, size: statSync(root).size },
      data: { ...bundle.release.data, major },
    },
    files: { ...bundle.files, root },
  };
}

test('data moves to the next major version, and back to what it was', async () => {
  const { device, definition } = service;
  const seen = async () => {
    const folder = "current_setting('data_directory') as folder";
    const [row] = await service.query(`select count(*)::int as rows, ${folder} from loaded`);
    return row;
  };
  const next = await nextMajor();
  const { major } = next.definition.data;
  const version = async () => {
    const [row] = await service.query("select current_setting('server_version_num')::int / 10000 as major");
    return row;
  };
  const moved = await migrateService(device, next);
  expect(moved).toMatchObject({ slot: 'b', tables: 2 });
  expect(await seen()).toEqual({ rows: ROWS, folder: `/data/postgresql/${major}` });
  expect(await service.status()).toMatchObject({ healthy: true, release: moved.release, trial: false });
  expect(await version()).toEqual({ major: REAL === '' ? major - 1 : major });
  // The backup that it went through is of the version before.
  const [made] = (await listBackups(device, definition)).slice(-1);
  expect(made).toMatchObject({ id: moved.snapshot, about: { major: String(major - 1) } });

  await service.query('insert into ledger values (99, 99)');
  await device.undoRestore(definition);
  await device.waitHealthy(definition, definition.health.deadline);
  expect(await seen()).toEqual({ rows: ROWS, folder: `/data/postgresql/${major - 1}` });
  expect(await service.query('select 1 from ledger where writer = 99')).toEqual([]);
});
