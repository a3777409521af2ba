import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestService } from './service.ts';

/** How often the machine is killed: five times in every run, a hundred in a long one. */
const KILLS = process.env.SOVEREIGN_LONG === '1' ? 100 : 5;
/** Clients that write at the same time. */
const WRITERS = 4;
/** Longest time from a kill to the next healthy report, in seconds. */
const RECOVERY = 120;

let service: TestService;

beforeAll(async () => {
  service = await TestService.prepare();
  await service.up();
  await service.query('create table ledger (writer int, entry int, primary key (writer, entry))');
});

afterAll(() => service.remove());

/** What the server said it had stored: per writer, the entries. */
const acknowledged = Array.from({ length: WRITERS }, () => new Set<number>());

/** Writes one entry a transaction until the connection breaks; notes each only once it was acknowledged. */
async function write(writer: number, first: number): Promise<void> {
  const client = await service.connect();
  try {
    for (let entry = first; ; entry++) {
      await client.query('insert into ledger values ($1, $2)', [writer, entry]);
      acknowledged[writer]?.add(entry);
    }
  } finally {
    await client.end().catch(() => undefined);
  }
}

const pidOfVm = async (): Promise<number | null> => (await service.status()).pid;

/** Waits for another VM than the one that was killed, then for its health. */
async function recovered(killed: number): Promise<void> {
  await service.until('another VM', async () => ![null, killed].includes(await pidOfVm()), 100);
  await service.device.waitHealthy(service.definition, RECOVERY);
}

test(
  `after ${KILLS} kills of the machine under writes, every acknowledged commit is there`,
  { timeout: KILLS * (RECOVERY + 30) * 1000 },
  async () => {
    for (let kill = 0; kill < KILLS; kill++) {
      const before = acknowledged.map((entries) => entries.size);
      const writers = acknowledged.map((_, writer) => write(writer, kill * 1_000_000));
      const ended = Promise.allSettled(writers);
      await service.until('every writer to write', () =>
        acknowledged.every((entries, n) => entries.size > (before[n] ?? 0)),
      );
      // Any moment will do, as long as it is not always the same.
      await sleep(Math.random() * 1500);
      const pid = await pidOfVm();
      if (pid === null) throw new Error('no VM to kill');
      process.kill(pid, 'SIGKILL');
      const began = performance.now();
      await ended;
      await recovered(pid);
      const seconds = ((performance.now() - began) / 1000).toFixed(1);

      const stored = new Set(
        (await service.query('select writer, entry from ledger')).map(
          (row) => `${String(row.writer)} ${String(row.entry)}`,
        ),
      );
      const missing = acknowledged.flatMap((entries, writer) =>
        [...entries].map((entry) => `${writer} ${entry}`).filter((key) => !stored.has(key)),
      );
      const total = acknowledged.reduce((sum, { size }) => sum + size, 0);
      console.log(
        `kill ${kill + 1}: healthy again after ${seconds} s, ${total} acknowledged, ${stored.size} stored`,
      );
      expect(missing).toEqual([]);
    }
    const [damage] = await service.query('select sum(checksum_failures)::int as pages from pg_stat_database');
    expect(damage?.pages).toBe(0);
    expect((await service.status()).restarts).toBe(KILLS);
  },
);

test('a killed launcher leaves the machine serving, and comes back by itself', async () => {
  const pid = await pidOfVm();
  process.kill(Number(await service.text('state/launcher-pid')), 'SIGKILL');
  expect(await service.query('select 1 as one')).toEqual([{ one: 1 }]);
  await service.device.waitHealthy(service.definition, RECOVERY);
  expect(await pidOfVm()).toBe(pid);
});
