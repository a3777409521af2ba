import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { checkConfig, parseConfig, readAllowed, readFragments } from '@sovereign/kernel';
import { erofsDefaults } from '@sovereign/rootfs';
import { readManifest } from '@sovereign/service';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { boot, type Boot } from './machine.ts';
import { makeProbeImages } from './probe-image.ts';
import { readReport } from './report.ts';

const project = join(import.meta.dirname, '..');
const dist = join(project, 'dist');

let folder: string;
const boots = new Map<string, Boot>();

function booted(name: string): Boot {
  const found = boots.get(name);
  if (found === undefined) throw new Error(`the kernel was not booted from ${name}`);
  return found;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kernel-test-'));
  const { image } = await readManifest(dist, 'kernel');
  const roots = await makeProbeImages(folder, {
    zstd: { ...erofsDefaults, compression: 'zstd' },
    lz4hc: { ...erofsDefaults, compression: 'lz4hc' },
  });
  for (const [name, root] of Object.entries(roots)) {
    const place = join(folder, name);
    await mkdir(place);
    boots.set(name, await boot(join(dist, image.name), root, place));
  }
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** How many questions the probe asks: one that is skipped must not look like one that passed. */
const QUESTIONS = 79;

test.each(['zstd', 'lz4hc'])(
  'the kernel starts from an EROFS packed with %s and answers every question',
  (name) => {
    const { console, exitCode } = booted(name);
    const report = readReport(console);
    expect(report.failed).toEqual([]);
    expect(report.finished, console.slice(-2000)).toBe(true);
    expect(report.passed).toHaveLength(QUESTIONS);
    expect(exitCode).toBe(0);
  },
);

test('the running kernel has every line of the fragments in /proc/config.gz', async () => {
  const running = parseConfig(gunzipSync(booted('zstd').second).toString('utf8'), '/proc/config.gz');
  const { requests } = await readFragments(join(project, 'fragments'));
  const exceptions = await readAllowed(join(project, 'allow.json'));
  expect(checkConfig(requests, running, exceptions, () => undefined)).toEqual([]);
  expect(running).toEqual(parseConfig(await readFile(join(dist, 'config'), 'utf8')));
});

test('the kernel speaks over the PL011 before virtio is up', () => {
  expect(booted('zstd').uart).toContain('Linux version');
});
