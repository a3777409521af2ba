import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { withLock } from '@sovereign/store';
import { firstError, nxMessage, runNx, toArgs, type NxRun } from './nx.ts';

let root: string;
const signal = new AbortController().signal;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'nx test-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Puts a stand-in in the place of Nx. */
async function standInNx(source: string): Promise<void> {
  const file = join(root, 'node_modules/nx/dist/bin/nx.js');
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `const fs = require('node:fs');\n${source}`);
}

const event = (rest: object) =>
  `fs.appendFileSync(process.env.SOVEREIGN_EVENTS, ${JSON.stringify(`${JSON.stringify({ at: 'now', step: 's', ...rest })}\n`)});`;

function run(rest: Partial<NxRun> = {}): Promise<void> {
  const events = join(root, 'events');
  return writeFile(events, '').then(() =>
    runNx(
      { root, targets: ['build'], verbose: false, signal, ...rest },
      { PATH: process.env.PATH, SOVEREIGN_EVENTS: events },
    ),
  );
}

describe('the command line of Nx', () => {
  it('names targets, projects and the options of the executor', () => {
    expect(
      toArgs({
        targets: ['deploy'],
        projects: ['rootfs-sql', 'rootfs-forgejo'],
        options: { device: 'local', timeout: undefined },
      }),
    ).toEqual([
      'run-many',
      '--targets=deploy',
      '--projects=rootfs-sql,rootfs-forgejo',
      '--outputStyle=stream',
      '--skipSync',
      '--device=local',
    ]);
  });

  it('runs every project where none is named', () => {
    expect(toArgs({ targets: ['lint', 'test'], flags: [] })).toEqual(['run-many', '--targets=lint,test']);
  });
});

describe('a run', () => {
  it('gets the base and the way of the tools in its environment, no terminal interface and no daemon', async () => {
    await standInNx(`fs.writeFileSync('seen', JSON.stringify([process.argv.slice(2), process.env]));`);
    await run({ base: 'debian', tools: 'docker', options: { device: 'local' } });
    const [argv, env] = JSON.parse(await readFile(join(root, 'seen'), 'utf8')) as [
      string[],
      Record<string, string>,
    ];
    expect(argv).toContain('--device=local');
    expect(env).toMatchObject({
      SOVEREIGN_BASE: 'debian',
      SOVEREIGN_TOOLS: 'docker',
      NX_TUI: 'false',
      NX_DAEMON: 'false',
    });
    expect(env.PATH?.startsWith(join(root, 'node_modules/.bin'))).toBe(true);
  });

  it('fails with the first error that a task announced, exit status and all', async () => {
    await standInNx(
      event({
        state: 'failed',
        error: { exit: 3, code: 'unhealthy', what: 'first', on: 'sql', hint: 'look' },
      }) +
        event({ state: 'failed', error: { exit: 1, code: 'later', what: 'second' } }) +
        'process.exit(1)',
    );
    await expect(run()).rejects.toMatchObject({
      code: 'unhealthy',
      what: 'first',
      on: 'sql',
      hint: 'look',
      exit: 3,
    });
  });

  it('that went on another way after a failed step did not fail', async () => {
    await standInNx(event({ state: 'failed', error: { exit: 1, code: 'no-network', what: 'first mirror' } }));
    await run();
  });

  it('keeps and names what the tools printed where no task said why', async () => {
    await standInNx(`console.log('to out'); console.error('to err'); process.exit(1)`);
    const error = (await run().catch((thrown: unknown) => thrown)) as { code: string; hint: string };
    expect(error.code).toBe('nx-failed');
    const log = /is in (\S+);/.exec(error.hint)?.[1] ?? '';
    const kept = await readFile(log, 'utf8');
    expect(kept).toContain('to out');
    expect(kept).toContain('to err');
    await rm(dirname(log), { recursive: true });
  });

  it('says which tasks came from the cache', async () => {
    const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    await standInNx(
      `console.log('> nx run kernel:build:debian  [local cache]\\n\\n> nx run kernel:build:debian\\n');`,
    );
    await run();
    const lines = said.mock.calls.map(([text]) => text);
    said.mockRestore();
    expect(lines).toEqual(['build:debian …\n', expect.stringMatching(/^build:debian: cached /)]);
  });

  it('does not blame a run for what failed before it', async () => {
    await standInNx('');
    const events = join(root, 'events');
    await writeFile(
      events,
      `${JSON.stringify({ step: 's', state: 'failed', error: { exit: 1, code: 'old', what: 'old' } })}\n`,
    );
    await runNx(
      { root, targets: ['build'], verbose: false, signal },
      { ...process.env, SOVEREIGN_EVENTS: events },
    );
  });

  it('that is interrupted ends with every process under it', async () => {
    await standInNx(`
      const child = require('node:child_process').spawn('sleep', ['600']);
      fs.writeFileSync('pid.new', String(child.pid));
      fs.renameSync('pid.new', 'pid');
      setInterval(() => {}, 1000);`);
    const controller = new AbortController();
    const running = run({ signal: controller.signal });
    await expect.poll(() => existsSync(join(root, 'pid'))).toBe(true);
    const pid = await readFile(join(root, 'pid'), 'utf8');
    controller.abort();
    await expect(running).rejects.toThrow();
    await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false);
  });

  it('that is interrupted leaves nothing that ignores the interruption either', async () => {
    await standInNx(`
      const script = "trap '' INT TERM; while :; do sleep 1; done";
      const child = require('node:child_process').spawn('sh', ['-c', script], { stdio: 'ignore' });
      fs.writeFileSync('pid.new', String(child.pid));
      fs.renameSync('pid.new', 'pid');
      setInterval(() => {}, 1000);`);
    const controller = new AbortController();
    const running = run({ signal: controller.signal });
    await expect.poll(() => existsSync(join(root, 'pid'))).toBe(true);
    const pid = await readFile(join(root, 'pid'), 'utf8');
    controller.abort();
    await expect(running).rejects.toThrow();
    await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false);
  });

  it('waits for another one in the same checkout, says so, and is not kept waiting by an interruption', async () => {
    await standInNx(`
      if (fs.existsSync('busy')) { fs.writeFileSync('both', ''); process.exit(0); }
      fs.writeFileSync('busy', '');
      const wait = setInterval(() => {
        if (!fs.existsSync('go')) return;
        clearInterval(wait);
        fs.rmSync('busy');
      }, 20);`);
    const temporary = join(root, 'tmp');
    await mkdir(temporary);
    vi.stubEnv('TMPDIR', temporary);
    const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const first = run();
    await expect.poll(() => existsSync(join(root, 'busy'))).toBe(true);
    const env = { PATH: process.env.PATH };
    const stop = new AbortController();
    const begin = (own: AbortSignal, more = {}) =>
      runNx({ root, targets: ['build'], verbose: false, signal: own }, { ...env, ...more });
    const interrupted = begin(stop.signal);
    const second = begin(signal);
    const waits = () => said.mock.calls.filter(([text]) => String(text).includes('waiting: ')).length;
    await expect.poll(waits).toBe(2);
    stop.abort(new Error('Ctrl-C'));
    await expect(interrupted).rejects.toThrow('Ctrl-C');
    expect(existsSync(join(root, 'both'))).toBe(false);
    await writeFile(join(root, 'go'), '');
    await Promise.all([first, second]);
    said.mockRestore();
    vi.unstubAllEnvs();
    expect(existsSync(join(root, 'both'))).toBe(false);
    expect(await readdir(temporary)).toEqual([]);
  });

  it('that a task starts is part of the run it belongs to', async () => {
    await standInNx(`
      const own = process.env.SOVEREIGN_NX_RUN;
      fs.writeFileSync('seen', own);`);
    await withLock(join(root, '.nx/run'), () =>
      runNx(
        { root, targets: ['build'], verbose: false, signal },
        { PATH: process.env.PATH, SOVEREIGN_NX_RUN: root },
      ),
    );
    expect(await readFile(join(root, 'seen'), 'utf8')).toBe(root);
  });

  it('ends at an interruption, in whatever moment that comes', async () => {
    await standInNx(`setInterval(() => {}, 1000);`);
    for (let count = 0; count < 24; count++) {
      const controller = new AbortController();
      const running = runNx(
        { root, targets: ['build'], verbose: false, signal: controller.signal },
        { PATH: process.env.PATH },
      );
      for (let turn = 0; turn < count; turn++) await setImmediate();
      controller.abort(new Error('Ctrl-C'));
      await expect(running).rejects.toThrow('Ctrl-C');
    }
  });

  it('does not begin after an interruption', async () => {
    await standInNx(`fs.writeFileSync('seen', '')`);
    await expect(run({ signal: AbortSignal.abort() })).rejects.toThrow();
    expect(existsSync(join(root, 'seen'))).toBe(false);
  });
});

describe('firstError', () => {
  it('is none where nothing failed', () => {
    expect(firstError([{ at: '', step: 'a', state: 'done' }])).toBeUndefined();
  });

  it('gives an exit status that is no documented one as 1', () => {
    const error = { exit: 77, code: 'x', what: 'y' };
    expect(firstError([{ at: '', step: 'a', state: 'failed', error }])?.exit).toBe(1);
  });
});

describe('what Nx says itself', () => {
  it('is the message of the task that failed, not the summary', () => {
    const output = `
 \u001B[31mNX\u001B[39m   Running target build for project kernel:

kernel: \u001B[7m NX \u001B[27m  the tools cannot be entered. Install bubblewrap
kernel: Pass --verbose to see the stacktrace.

 NX   Running target build for project kernel failed
`;
    expect(nxMessage(output)).toBe('the tools cannot be entered. Install bubblewrap');
  });

  it('is why no task was run', () => {
    expect(nxMessage('\n NX   The workspace is out of sync\n')).toBe('The workspace is out of sync');
    expect(nxMessage('to out\n')).toBeUndefined();
  });
});
