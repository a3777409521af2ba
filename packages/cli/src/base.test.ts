import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Base } from '@sovereign/service';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { chooseBase, type BaseQuestion } from './base.ts';

let root: string;
let said: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'base-'));
  said = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    said += String(text);
    return true;
  });
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(root, { recursive: true });
});

const recorded = () => readFile(join(root, '.env.local'), 'utf8').catch(() => undefined);

/** Reached mirrors; the rest of the question as on a machine that was never asked. */
const choose = (reached: Base[], rest: Partial<BaseQuestion> = {}) =>
  chooseBase({
    root,
    wanted: undefined,
    ask: undefined,
    env: {},
    reached: (base) => Promise.resolve(reached.includes(base)),
    ...rest,
  });

describe('the first time', () => {
  it('takes Alpine where its mirror is reached, and records it', async () => {
    expect(await choose(['alpine', 'debian'])).toBe('alpine');
    expect(await recorded()).toContain('\nSOVEREIGN_BASE=alpine\n');
  });

  it('takes Debian where only its mirror is reached, and says so in one line', async () => {
    expect(await choose(['debian'])).toBe('debian');
    expect(await recorded()).toContain('\nSOVEREIGN_BASE=debian\n');
    expect(said).toBe("note: base: debian, recorded in .env.local (Alpine's mirror is not reached)\n");
  });

  it('asks where a person is there, and takes no for an answer', async () => {
    const asked: string[] = [];
    const ask = (answer: boolean) => (question: string) => {
      asked.push(question);
      return Promise.resolve(answer);
    };
    await expect(choose(['debian'], { ask: ask(false) })).rejects.toMatchObject({ code: 'no-base' });
    expect(await recorded()).toBeUndefined();
    expect(await choose(['debian'], { ask: ask(true) })).toBe('debian');
    expect(asked).toHaveLength(2);
  });

  it('records nothing where no mirror is reached: the downloads may be there all the same', async () => {
    expect(await choose([])).toBe('debian');
    expect(await recorded()).toBeUndefined();
  });
});

describe('what was chosen before', () => {
  it('is never changed, whatever is reached', async () => {
    await writeFile(join(root, '.env.local'), 'OTHER=1\nSOVEREIGN_BASE=debian\n');
    expect(await choose(['alpine'])).toBe('debian');
    expect(await recorded()).toBe('OTHER=1\nSOVEREIGN_BASE=debian\n');
  });

  it('gives way to the environment and to --base, for that run alone', async () => {
    await writeFile(join(root, '.env.local'), 'SOVEREIGN_BASE=debian\n');
    expect(await choose([], { env: { SOVEREIGN_BASE: 'alpine' } })).toBe('alpine');
    expect(await choose([], { wanted: 'alpine' })).toBe('alpine');
    expect(await recorded()).toBe('SOVEREIGN_BASE=debian\n');
  });

  it('other lines of the file stay, also one without a line end', async () => {
    await writeFile(join(root, '.env.local'), 'OTHER=1');
    await choose(['alpine']);
    expect(await recorded()).toMatch(/^OTHER=1\n# .*\nSOVEREIGN_BASE=alpine\n$/);
  });

  it('is refused where it names no base', async () => {
    await writeFile(join(root, '.env.local'), 'SOVEREIGN_BASE=ubuntu\n');
    await expect(choose(['debian'])).rejects.toMatchObject({ code: 'unknown-base', exit: 2 });
  });
});
