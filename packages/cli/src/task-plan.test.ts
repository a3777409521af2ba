import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { build } from './commands/build.ts';
import { fakeCheckout, type FakeCheckout } from './testing/checkout.ts';
import { fakeSession } from './testing/session.ts';

let checkout: FakeCheckout;
afterEach(() => checkout.remove());

/** Puts a stand-in in the place of tools/build-graph; `asked` is what it was asked for. */
async function standIn(source: string): Promise<void> {
  checkout = await fakeCheckout();
  const path = join(checkout.root, 'tools/build-graph/src/main.ts');
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `const asked = JSON.parse(process.argv[3]);\n${source}`);
}

const tasks = [
  { task: 'kernel:config', outcome: 'run', why: 'newer than its last result: a.config' },
  { task: 'kernel:build', outcome: 'open', why: 'it depends on what comes out of kernel:config' },
  { task: 'network:build', outcome: 'cached', why: '' },
];
const planned = `console.log('${JSON.stringify(tasks)}');`;

describe('build --dry-run', () => {
  it('says of each task whether it runs and why, and runs none', async () => {
    await standIn(
      `if (asked.targets[0] !== 'build' || !asked.projects.includes('kernel')) process.exit(1);${planned}`,
    );
    const { session } = fakeSession({ root: checkout.root, flags: { dryRun: true } });
    const { json, text } = await build(session);
    expect(json).toMatchObject({
      tasks,
      plan: expect.arrayContaining([expect.stringContaining('nx run-many')]) as object,
    });
    expect(text?.split('\n').slice(1)).toEqual([
      'kernel:config: runs: newer than its last result: a.config',
      'kernel:build: runs, or comes from the cache: it depends on what comes out of kernel:config',
      'network:build: from the cache',
    ]);
    expect(await checkout.nxRuns()).toEqual([]);
  });

  it('is an error where that cannot be told', async () => {
    await standIn(`throw new Error('no graph');`);
    const { session } = fakeSession({ root: checkout.root, flags: { dryRun: true } });
    await expect(build(session)).rejects.toMatchObject({
      code: 'no-plan',
      on: expect.stringContaining('no graph') as string,
    });
  });
});

describe('build --verbose', () => {
  it('says why a task is not served from the cache', async () => {
    await standIn(planned);
    await build(fakeSession({ root: checkout.root, flags: { verbose: true } }).session);
    const events = await checkout.events();
    expect(events).toContain('kernel:config: runs: newer than its last result: a.config');
    expect(events).not.toContain('network:build');
    expect(await checkout.nxRuns()).toHaveLength(1);
  });

  it('builds where that cannot be told', async () => {
    await standIn(`throw new Error('no graph');`);
    await build(fakeSession({ root: checkout.root, flags: { verbose: true } }).session);
    expect(await checkout.events()).toContain('no graph');
    expect(await checkout.nxRuns()).toHaveLength(1);
  });
});
