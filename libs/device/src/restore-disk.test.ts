import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Host } from './host.ts';
import { LocalHost } from './local/host.ts';
import {
  beginRestore,
  cancelRestore,
  commitRestore,
  discardKept,
  isRestoring,
  keptDisk,
  swapKept,
} from './restore-disk.ts';
import { setCurrent } from './slots.ts';
import { definition } from './testing/workstation.ts';

/** A service with data, stopped; `kept` is of an earlier restore, or of a migration that left slot a. */
function stopped(kept = 'data.kept'): {
  folder: string;
  host: LocalHost;
  disk: (name?: string) => string | undefined;
} {
  const root = mkdtempSync(join(tmpdir(), 'sovereign restore '));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const folder = join(root, 'services/sql');
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries({
    'data.id': 'uuid\n',
    'data.img': 'old',
    [kept]: 'kept',
    current: 'b\n',
  })) {
    writeFileSync(join(folder, name), text);
  }
  const disk = (name = 'data.img') =>
    readdirSync(folder).includes(name)
      ? /^\w+/.exec(readFileSync(join(folder, name), 'latin1').slice(0, 40))?.[0]
      : undefined;
  return { folder, host: new LocalHost(root), disk };
}

/** A host whose changes stop after a number of them, as when this process is killed. */
function cutAfter(host: LocalHost, changes: number): Host {
  let left = changes;
  return new Proxy<Host>(host, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      return (...words: unknown[]): unknown => {
        if (['write', 'rename', 'remove', 'makeDisk'].includes(String(key)) && left-- <= 0) {
          throw new Error('cut');
        }
        return Reflect.apply(value, target, words);
      };
    },
  });
}

/** Runs the work cut after 0, 1, 2… changes, until it runs to its end; gives how many changes it has. */
async function everyCut(
  work: (host: Host) => Promise<void>,
  check: (place: ReturnType<typeof stopped>, changes: number) => Promise<void>,
  kept?: string,
): Promise<number> {
  for (let changes = 0; ; changes++) {
    const place = stopped(kept);
    const whole = await work(cutAfter(place.host, changes)).then(
      () => true,
      () => false,
    );
    await check(place, changes);
    if (whole) return changes;
  }
}

/** Settles, cut anywhere too, then once more to its end. */
async function settle(host: LocalHost, cut: number): Promise<void> {
  await cancelRestore(cutAfter(host, cut), 'sql').catch(() => undefined);
  if (await isRestoring(host, 'sql')) await cancelRestore(host, 'sql');
  expect(await isRestoring(host, 'sql')).toBe(false);
}

const restore = async (host: Host): Promise<void> => {
  await beginRestore(host, definition);
  await host.write('services/sql/data.img', 'restored');
  await commitRestore(host, 'sql');
};

test('a restore that is cut anywhere, and settled in any number of tries, leaves the old data or the new', async () => {
  for (const cut of [0, 1, 2, 3, 4, 9]) {
    const seen: (string | undefined)[] = [];
    const changes = await everyCut(restore, async ({ host, disk }) => {
      await settle(host, cut);
      seen.push(disk());
      // What was kept before stays until there is something newer to go back to.
      expect(disk('data.kept')).toBe(disk() === 'old' ? 'kept' : 'old');
    });
    expect(changes).toBe(7);
    expect(seen).toEqual(['old', 'old', 'old', 'old', 'old', 'old', 'restored', 'restored']);
  }
});

test('the guest is closed from before it could see the new disk until that disk counts', async () => {
  await everyCut(restore, ({ folder, disk }) => {
    const names = readdirSync(folder);
    if (names.includes('data.before') && disk() !== undefined) expect(names).toContain('closed');
    return Promise.resolve();
  });
});

test('the new disk has the mark of a new one with the UUID of the service, and no less room', async () => {
  const { folder, host } = stopped();
  await beginRestore(host, definition);
  const disk = readFileSync(join(folder, 'data.img'));
  expect(disk.subarray(0, 19).toString()).toBe('sovereign-new uuid\n');
  expect(disk.length).toBe(definition.data.size * 1024 * 1024);
});

test('an undo that is cut anywhere has both disks afterwards, and a second one goes forth again', async () => {
  for (const cut of [0, 1, 2, 9]) {
    await everyCut(
      (host) => swapKept(host, 'sql'),
      async ({ host, disk }) => {
        await settle(host, cut);
        expect([disk(), disk('data.kept')].sort()).toEqual(['kept', 'old']);
      },
    );
  }
  const { host, disk } = stopped();
  await swapKept(host, 'sql');
  expect(disk()).toBe('kept');
  await swapKept(host, 'sql');
  expect(disk()).toBe('old');
});

/** The data leaves slot b for slot a. */
const migrate = async (host: Host): Promise<void> => {
  await beginRestore(host, definition, 'b');
  await setCurrent(host, 'sql', 'a');
  await host.write('services/sql/data.img', 'moved');
  await commitRestore(host, 'sql');
};

test('a migration that is cut anywhere leaves the old data with its slot or the new with its own', async () => {
  for (const cut of [0, 1, 2, 3, 4, 9]) {
    const seen: unknown[] = [];
    await everyCut(migrate, async ({ host, disk }) => {
      await settle(host, cut);
      const current = disk('current');
      seen.push(disk());
      expect([disk(), current, disk('data.kept-b')]).toEqual(
        disk() === 'old' ? ['old', 'b', undefined] : ['moved', 'a', 'old'],
      );
    });
    expect(new Set(seen)).toEqual(new Set(['old', 'moved']));
  }
});

test('an undo of a migration that is cut anywhere has each disk with its slot', async () => {
  for (const cut of [0, 1, 2, 3, 9]) {
    const seen: unknown[] = [];
    await everyCut(
      (host) => swapKept(host, 'sql', 'a'),
      async ({ host, disk }) => {
        await settle(host, cut);
        seen.push(disk());
        expect([disk(), disk('current'), disk('data.kept-a'), disk('data.kept-b')]).toEqual(
          disk() === 'old' ? ['old', 'b', 'kept', undefined] : ['kept', 'a', undefined, 'old'],
        );
      },
      'data.kept-a',
    );
    expect(new Set(seen)).toEqual(new Set(['old', 'kept']));
  }
  const { host, disk } = stopped('data.kept-a');
  expect(await keptDisk(host, 'sql')).toEqual({ slot: 'a' });
  await discardKept(host, 'sql');
  expect([await keptDisk(host, 'sql'), disk()]).toEqual([undefined, 'old']);
});

test('a service without a data disk is not restored into', async () => {
  const { folder, host } = stopped();
  rmSync(join(folder, 'data.img'));
  await expect(beginRestore(host, definition)).rejects.toMatchObject({ code: 'data-missing' });
  expect(readdirSync(folder)).not.toContain('data.fresh');
});
