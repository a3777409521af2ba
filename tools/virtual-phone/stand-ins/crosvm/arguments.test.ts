import { describe, expect, test } from 'vitest';
import { ArgumentError, parseRun } from './arguments.ts';
import { flagsOf, help, releases, type Release } from './flags.ts';

const flat = [
  ...['--disable-sandbox', '--mem', '512', '--cpus', '1', '--cid', '7', '--tap-name', 'sov-sql'],
  ...['--serial', 'type=file,hardware=serial,num=1,path=/l,console=true,earlycon=true'],
  ...['--serial', 'type=file,hardware=virtio-console,num=2,path=/out,input=/in'],
  ...['--disk', '/root.erofs,id=sov-root', '--rwdisk', '/data.img,sparse=false,id=sov-data'],
  ...['-p', 'ro', '-p', 'quiet', 'Image'],
];

const structured = [
  ...[
    '--mem',
    'size=512',
    '--cpus',
    'num-cores=2',
    '--vsock',
    'cid=7',
    '--net',
    'tap-name=t,mac=52:53:56:00:00:02',
  ],
  ...['--block', 'path=/d,ro=true,id=sov-root', 'Image'],
];

describe.each(releases)('Android %s', (release) => {
  test('takes the flat spellings', () => {
    const machine = parseRun(release, flat);
    expect(machine).toMatchObject({ kernel: 'Image', memory: 512, cpus: 1, cid: 7, params: ['ro', 'quiet'] });
    expect(machine.disks).toEqual([
      { path: '/root.erofs', readOnly: true, root: false, sparse: true, lock: true, id: 'sov-root' },
      { path: '/data.img', readOnly: false, root: false, sparse: false, lock: true, id: 'sov-data' },
    ]);
    expect(machine.nets).toEqual([{ tapName: 'sov-sql' }]);
  });

  test('names every flag that it takes in its help, and no other', () => {
    const named = [...help(release).matchAll(/--([a-z0-9-]+)/g)].map(([, name]) => name);
    expect(new Set(named)).toEqual(new Set([...flagsOf(release).map(({ name }) => name), 'help']));
  });
});

const refusal = (release: Release, ...argv: string[]): string => {
  try {
    parseRun(release, [...argv, 'Image']);
  } catch (error) {
    if (error instanceof ArgumentError) return error.message;
    throw error;
  }
  return 'taken';
};

test('the structured spellings exist from 14 on', () => {
  expect(parseRun('14', structured)).toMatchObject({ memory: 512, cpus: 2, cid: 7 });
  expect(refusal('13', '--block', 'path=/d')).toBe('unknown argument: --block');
  expect(refusal('13', '--mem', 'size=512')).toContain('must be an integer');
  expect(refusal('13', '--vsock', 'cid=7')).toBe('unknown argument: --vsock');
});

test.each([
  ['14', '15', ['--boost-uclamp']],
  ['14', '14-QPR2', ['--suspended']],
  ['15-QPR1', '15-QPR2', ['--name', 'sql']],
  ['15-QPR1', '15-QPR2', ['--no-pmu']],
  ['16', '17', ['--smccc-trng']],
] as const)('%s refuses what came with %s: %s', (before, since, argv) => {
  expect(refusal(before, ...argv)).toBe(`arg parsing failed: Unrecognized argument: ${argv[0]}`);
  expect(refusal(since, ...argv)).toBe('taken');
});

test('17 lacks --cfg again', () => {
  expect(refusal('16', '--cfg', 'f')).toBe('taken');
  expect(refusal('17', '--cfg', 'f')).toContain('Unrecognized argument: --cfg');
});

test('lock= of a disk came with 15-QPR1', () => {
  expect(refusal('15', '--block', 'path=/d,lock=false')).toContain('unknown field `lock`');
  expect(refusal('15-QPR1', '--block', 'path=/d,lock=false')).toBe('taken');
});

test.each([
  ['an id of more than 20 characters', ['--block', 'path=/d,id=abcdefghijklmnopqrstu'], 'at most 20'],
  ['a disk without a path', ['--block', 'ro=true'], 'missing field `path`'],
  ['an unknown key', ['--block', 'path=/d,readonly=true'], 'unknown field `readonly`'],
  ['a value that is no boolean', ['--block', 'path=/d,ro=yes'], 'expected boolean'],
  ['two root disks', ['--block', 'path=/a,root=true', '--block', 'path=/b,root=true'], 'only one root disk'],
  [
    'a serial port out of range',
    ['--serial', 'type=sink,hardware=serial,num=5'],
    'invalid serial device number',
  ],
  ['an unknown kind of serial', ['--serial', 'type=tcp'], 'unknown variant'],
  [
    'earlycon on a virtio console',
    ['--serial', 'type=sink,hardware=virtio-console,earlycon=true'],
    'earlycon',
  ],
  ['a file without a path', ['--serial', 'type=file,hardware=serial'], 'missing field `path`'],
  [
    'the same port twice',
    ['--serial', 'type=sink,num=1', '--serial', 'type=sink,num=1'],
    'already specified',
  ],
  ['cid and vsock together', ['--cid', '5', '--vsock', 'cid=5'], 'cannot be specified together'],
  [
    'a flat --mac without its address',
    ['--tap-name', 't', '--mac', '52:53:56:00:00:02'],
    '`host-ip` missing',
  ],
  ['a size that is no number', ['--mem', 'much'], 'expected number'],
  ['a switch with a value', ['--disable-sandbox=yes'], 'Unrecognized argument'],
  [
    'an option that takes the kernel for its value',
    ['--serial', 'type=sink', '--mem'],
    'Executable is not specified',
  ],
  ['an option twice', ['--mem', '1', '--mem', '2'], 'duplicate values'],
  ['a second kernel', ['Image2'], 'Unrecognized argument: Image'],
] as const)('refuses %s', (_what, argv, message) => {
  expect(refusal('15', ...argv)).toContain(message);
});

test('13 takes one console alone', () => {
  const two = [
    ...['--serial', 'type=sink,hardware=serial,console=true'],
    ...['--serial', 'type=sink,hardware=virtio-console,console=true'],
  ];
  expect(refusal('13', ...two)).toBe('console already set');
  expect(refusal('14', ...two)).toBe('taken');
});
