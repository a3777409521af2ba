import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { TailnetClient, type Path } from '../src/client.ts';
import { Lab } from '../src/lab.ts';
import { PATIENCE, ROW, SqlAtHome, TAG } from './service.ts';

/** What happens to clocks, to the way between, and to logins. One guest for all, in this order: the last take its login. */
let lab: Lab;
let sql: SqlAtHome;

const LONG = process.env.SOVEREIGN_LONG === '1';

beforeAll(async () => {
  lab = await Lab.start();
  sql = await SqlAtHome.start(lab);
}, 900_000);

afterAll(() => lab.remove());

describe('a clock that is wrong', () => {
  /** Seconds by which the guest's clock differs from this machine's. */
  const off = async (): Promise<number> =>
    Math.abs(Number(await sql.inGuest('date +%s')) - Date.now() / 1000);
  const isRight = (): Promise<void> =>
    expect.poll(off, { timeout: 2 * PATIENCE, interval: 1000 }).toBeLessThan(60);
  const folder = () => join(lab.folder, 'home/data/sovereign/local/services/sql');
  const vm = async () => (await readFile(join(folder(), 'state/pid'), 'utf8')).trim();
  const kill = (signal: string, pid: string): Promise<string> =>
    lab.must('home', ['kill', `-${signal}`, pid]);

  // The clock of a machine that is sound is what every other boot begins with.
  test.each(LONG ? ['1970-01-01', '2040-01-01'] : ['1970-01-01'])(
    'at power-on after a power cut, %s, is set, and the node is the same',
    async (day) => {
      const file = join(folder(), (await sql.told()).slot, 'argv.1');
      const before = await readFile(file, 'utf8');
      onTestFinished(() => writeFile(file, before));
      expect(before).toContain('base=utc');
      await writeFile(file, before.replace('base=utc', `base=${day}T00:00:00`));
      const old = await vm();
      // The power cut.
      await kill('KILL', old);
      // What is told before the launcher has seen it is of the machine that is gone.
      await expect.poll(() => vm().catch(() => old), { timeout: PATIENCE, interval: 250 }).not.toBe(old);
      await expect
        .poll(async () => (await sql.told()).healthy, { timeout: 3 * PATIENCE, interval: 1000 })
        .toBe(true);
      await expect
        .poll(() => sql.inGuest('dmesg | grep "setting system clock"').catch(String), {
          timeout: PATIENCE,
          interval: 1000,
        })
        .toContain(day);
      await sql.isSameNode();
      await sql.rowComes();
      await isRight();
    },
  );

  test('that is set back while it runs is corrected without a restart', async () => {
    const pid = await vm();
    // In one go: it is corrected soon.
    const said = (await sql.inGuest('date -s @86400 >/dev/null; date +%s')).trim();
    expect(said).toMatch(/^864\d\d$/);
    await isRight();
    await sql.isSameNode();
    await sql.rowComes();
    expect(await vm()).toBe(pid);
  });

  test('is right after the machine stood still', async () => {
    const pid = await vm();
    await kill('STOP', pid);
    onTestFinished(() =>
      kill('CONT', pid).then(
        () => undefined,
        () => undefined,
      ),
    );
    await expect
      .poll(async () => (await sql.told()).attention, { timeout: PATIENCE, interval: 1000 })
      .toMatch(/the guest says nothing/);
    await kill('CONT', pid);
    await expect
      .poll(async () => (await sql.told()).healthy, { timeout: PATIENCE, interval: 1000 })
      .toBe(true);
    await isRight();
    await sql.isSameNode();
    await sql.rowComes();
    expect(await vm()).toBe(pid);
  });
});

describe('the way between', () => {
  /** Does something to the path under a statement, which is answered only once that is done. */
  async function underStatement(change: () => Promise<void>): Promise<void> {
    // The connection of a statement before may be there for a while: its end has to find the new path too.
    const mark = randomUUID();
    const asking = sql.query(
      sql.node.address,
      `do $$ begin /* ${mark} */ while not exists (select from pg_class where relname = 'let_go') loop perform pg_sleep(0.1); end loop; end $$;
      select 'still there'`,
    );
    await expect
      .poll(() => sql.atHome(`select count(*) from pg_stat_activity where query like 'do %${mark}%'`), {
        timeout: PATIENCE,
        interval: 500,
      })
      .toBe('1');
    await change();
    expect(await sql.atHome('create table let_go ()')).toBe('CREATE TABLE');
    expect(await asking).toBe('DO\nstill there');
    expect(await sql.atHome('drop table let_go')).toBe('DROP TABLE');
  }
  const path = (wanted: Path) => lab.laptop.path(sql.node.address, wanted);

  test('is direct behind the usual routers', async () => {
    expect(await path('direct')).toBe('direct');
  });

  test('brings a result of 10 MB whole over a line with small packets', async () => {
    await lab.mtu('home', 1300);
    onTestFinished(() => lab.mtu('home', 1500));
    const text = await sql.query(sql.node.address, "select repeat('0123456789', 1048576)", 3 * PATIENCE);
    expect(text).toHaveLength(10_485_760);
    expect(text).toMatch(/^(0123456789)+$/);
  });

  test('outlives a router that translates anew, in the middle of a query', async () => {
    await underStatement(() => lab.rebind('home'));
  });

  test('outlives another uplink, in the middle of a query', async () => {
    onTestFinished(() => lab.uplink('home'));
    await underStatement(() => lab.uplink('mobile'));
    await sql.isSameNode();
  });

  test('stays where the control server and its relay are gone: the direct one alone', async () => {
    expect(await path('direct')).toBe('direct');
    await lab.server.down();
    onTestFinished(() => lab.server.up());
    await sql.rowComes();
    const silence = async () => (await sql.told()).tailnet;
    await expect
      .poll(silence, { timeout: PATIENCE, interval: 1000 })
      .toMatchObject({ state: 'running', detail: expect.stringMatching(/\w/) as string });
    await lab.server.up();
    await expect
      .poll(async () => (await silence())?.detail, { timeout: 2 * PATIENCE, interval: 1000 })
      .toBeUndefined();
  });

  test('is the relay where UDP is blocked', async () => {
    await lab.nat('home', 'udp-blocked');
    await lab.rebind('home');
    onTestFinished(() => lab.nat('home', 'port-restricted'));
    await sql.rowComes();
    expect(await path('relayed')).toBe('relayed');
  });
});

describe('what goes wrong', () => {
  const DAYS = 10;
  // The control server tells whole seconds.
  const end = new Date((Math.floor(Date.now() / 1000) + DAYS * 24 * 3600) * 1000);

  test('a control server that is down at boot holds nothing up', async () => {
    const { id } = await ownNode();
    await lab.server.down();
    // For the next test: it is told once the server is back.
    lab.server.setKeyEnd(id, end);
    onTestFinished(() => lab.server.up());
    await lab.sovereignJson(['restart', 'sql', '-s', 'local']);
    await expect
      .poll(async () => (await sql.told()).tailnet?.state, { timeout: 2 * PATIENCE, interval: 1000 })
      .toBe('unreachable');
    expect((await sql.told()).healthy).toBe(true);
    await lab.server.up();
    await sql.isSameNode();
    await sql.rowComes();
  });

  test('a key that will end is told with its end, and warned of', async () => {
    const { tailnet, attention } = await sql.told();
    expect(tailnet?.expires).toBe(end.toISOString());
    expect(attention).toMatch(
      new RegExp(`the node's key expires on ${end.toISOString().slice(0, 10)}, in ${DAYS} days; .*login sql`),
    );
  });

  test('another device of the same name gets another', async () => {
    const other = new TailnetClient(lab.rooms, 'home', join(lab.folder, 'other'), lab.server.ca);
    onTestFinished(() => other.stop());
    const [label = ''] = sql.node.name.split('.');
    await other.up(lab.server.url, await lab.server.key(), label);
    expect((await other.status()).Self.DNSName).not.toBe(`${sql.node.name}.`);
    await sql.isSameNode();
    await sql.rowComes();
    await other.tailscale(['logout']);
  });

  test('a login that is renewed with another key keeps node and address', async () => {
    const known = async () => (await lab.server.nodes()).map(({ id }) => id);
    const before = await known();
    const { key: next } = await sql.keyFile({ tags: [TAG] });
    const renewal = ['exec', 'sql', '-s', 'local', '--', '/usr/lib/sovereign/tailnet', 'login', 'again', '-'];
    const { status, stdout, stderr } = await lab.sovereign(renewal, { input: `${next}\n` });
    expect({ status, stdout }, stderr).toEqual({ status: 0, stdout: 'running' });
    await sql.isSameNode();
    await sql.rowComes();
    expect(await known()).toEqual(before);
  });

  test('a node that was expired asks for a login, and is the same with the next key', async () => {
    const { id } = await ownNode();
    await lab.server.headscale('nodes', 'expire', '--identifier', String(id));
    await toldState(/expired/);
    const { file } = await sql.keyFile({ tags: [TAG] });
    await lab.sovereignJson(['tailnet', 'login', 'sql', '-s', 'local', '--key', file]);
    const again = await sql.reachable();
    expect(again.address).toBe(sql.node.address);
    await sql.rowComes();
  });

  test('a key that is used up is refused with the reason, and the service stays', async () => {
    await lab.sovereignJson(['tailnet', 'logout', 'sql', '-s', 'local', '--yes']);
    await toldState(/logged-out|needs-login/);
    const spent = join(lab.folder, 'spent');
    await writeFile(spent, `${sql.key}\n`, { mode: 0o600 });
    const { status, stderr } = await lab.sovereign([
      ...['tailnet', 'login', 'sql', '-s', 'local', '--key', spent],
    ]);
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/already used|not found|invalid|refused/i);
    expect(stderr).not.toContain(sql.key);
    expect((await sql.told()).healthy).toBe(true);
  });
});

test('a person who visits the address that the command prints logs the node in', async () => {
  if ((await sql.told()).tailnet?.state === 'running') {
    await lab.sovereignJson(['tailnet', 'logout', 'sql', '-s', 'local', '--yes']);
  }
  const login = lab.sovereign(['tailnet', 'login', 'sql', '-s', 'local', '--timeout', '300']);
  const address = async () => (await sql.told()).tailnet;
  await expect
    .poll(address, { timeout: 2 * PATIENCE, interval: 1000 })
    .toMatchObject({ state: 'needs-login', url: expect.stringMatching(/\/register\//) as string });
  const url = (await address())?.url ?? '';
  // What the page at the address tells its owner to do.
  const registration = url.slice(url.lastIndexOf('/') + 1);
  await lab.server.headscale('nodes', 'register', '--user', 'owner', '--key', registration);
  const { status, stdout, stderr } = await login;
  expect(status, stdout + stderr).toBe(0);
  expect(stderr).toContain(`visit this address, from any device, to log the node in: ${url}`);
  const { address: reached } = await sql.reachable();
  await sql.answers(reached, 'select value from kept', ROW);
  await lab.sovereignJson(['tailnet', 'logout', 'sql', '-s', 'local', '--yes']);
});

test('another name is the node’s at once, and the node goes with its data', async () => {
  const { file } = await sql.keyFile({ tags: [TAG] });
  await lab.sovereignJson(['tailnet', 'login', 'sql', '-s', 'local', '--key', file]);
  const { address } = await sql.reachable();
  await lab.sovereignJson(['tailnet', 'rename', 'sql', 'ledger', '-s', 'local']);
  const known = async () => (await lab.server.nodes()).find(({ ip_addresses: all }) => all.includes(address));
  await expect
    .poll(async () => (await known())?.given_name, { timeout: PATIENCE, interval: 1000 })
    .toBe('ledger');
  await lab.sovereignJson(['remove', 'sql', '-s', 'local', '--data', '--yes']);
  // headscale keeps a node that logged out, with a key that is over.
  const end = (await known())?.expiry?.seconds ?? 0;
  expect(end).toBeLessThanOrEqual(Date.now() / 1000);
});

const ownNode = async () => {
  const found = (await lab.server.nodes()).find(({ ip_addresses: all }) => all.includes(sql.node.address));
  if (found === undefined) throw new Error('the control server does not know the node');
  return found;
};

const toldState = (wanted: RegExp): Promise<void> =>
  expect
    .poll(async () => (await sql.told()).tailnet?.state, { timeout: 2 * PATIENCE, interval: 1000 })
    .toMatch(wanted);
