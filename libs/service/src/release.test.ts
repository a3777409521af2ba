import { expect, test } from 'vitest';
import { defineService } from './definition.ts';
import { dataFormat, differentData, makeRelease, releaseSchema } from './release.ts';

const definition = defineService({
  name: 'sql',
  title: 'SQL',
  net: { index: 2 },
  bases: {},
  accounts: [],
  resources: { memory: 256, cpus: 1 },
  data: { kind: 'postgresql', major: 17, collation: 'C', size: 64 },
  ports: [],
  secrets: [],
  units: ['postgresql'],
  health: { command: '/health', deadline: 60 },
});
const file = (digit: string) => ({ name: 'file', sha256: digit.repeat(64), size: 7 });
const release = makeRelease(definition, {
  kernel: { schema: 1, kind: 'kernel', version: '6.12', image: file('1'), config: file('2') },
  root: { schema: 1, kind: 'root', service: 'sql', base: 'debian', version: '17', image: file('3') },
  agent: { schema: 1, kind: 'agent', bundle: file('4') },
  network: {
    schema: 1,
    kind: 'network',
    gvproxy: { amd64: file('5'), arm64: file('6') },
    gvforwarder: { amd64: file('7'), arm64: file('8') },
    tailscaled: { amd64: file('9'), arm64: file('a') },
  },
});

test('a release names the network program of every kind of device, and no program that is part of the image', () => {
  expect(release.network).toEqual({
    gvproxy: {
      amd64: { sha256: '5'.repeat(64), size: 7 },
      arm64: { sha256: '6'.repeat(64), size: 7 },
    },
  });
});

test('a release that a device was given before there was a network still reads, as it was written', () => {
  const old: Record<string, unknown> = { ...release, schema: 1 };
  delete old.network;
  expect(releaseSchema.parse(old)).toEqual(old);
  expect(releaseSchema.safeParse({ ...old, schema: 2 }).success).toBe(false);
});

test('data differs by its kind, then its major version, then its collation', () => {
  const { data } = release;
  expect(differentData(data, { ...data })).toBeUndefined();
  expect(differentData(data, { ...data, collation: 'other' })).toBe('collation');
  expect(differentData(data, { ...data, collation: 'other', major: 18 })).toBe('major');
  expect(differentData(data, { kind: 'sqlite', major: 18, collation: 'other' })).toBe('kind');
});

test('the format of the data changes with the major version, and where the definition says so with every version', () => {
  const migrating = { data: { ...definition.data, changes: 'version' as const } };
  const next = { ...release, version: '17.1 beta' };
  expect([release, next].map((one) => dataFormat(definition, one))).toEqual([
    'postgresql-17',
    'postgresql-17',
  ]);
  // One word: it stands behind a key in the launch plan.
  expect([release, next].map((one) => dataFormat(migrating, one))).toEqual([
    'postgresql-17-17',
    'postgresql-17-17.1_beta',
  ]);
});
