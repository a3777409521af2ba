import { expect, test } from 'vitest';
import { kernelCommandLine } from '../cmdline.ts';
import type { Machine } from '../host.ts';
import { capabilitiesOf } from '../testing/phone.ts';
import { crosvmCommand } from './command.ts';

const machine: Machine = {
  name: 'sql',
  kernel: `/data/sovereign/store/${'a'.repeat(64)}`,
  cmdline: kernelCommandLine(),
  root: `/data/sovereign/store/${'b'.repeat(64)}`,
  data: '/data/sovereign/services/sql/data.img',
  discard: false,
  config: '/data/sovereign/services/sql/config.img',
  memory: 256,
  cpus: 2,
  consoleLog: '/data/sovereign/services/sql/log/console.log',
  earlyLog: '/data/sovereign/services/sql/log/early.log',
  control: {
    output: '/data/sovereign/services/sql/agent.out',
    input: '/data/sovereign/services/sql/agent.in',
  },
  network: { mode: 'vsock', cid: 2002 },
};
const tapped: Machine = {
  ...machine,
  network: { mode: 'tap', name: 'sov-sql', mac: '52:53:56:00:00:02' },
};

const text = (command: ReturnType<typeof crosvmCommand>) =>
  command.variants.map(({ argv, cpus }) => `# ${cpus} CPU\n${argv.join('\n')}\n`).join('\n');
const flatten = (argv: readonly string[] | undefined) => argv?.join(' ') ?? '';

test.for([
  ['13', 13],
  ['14', 14],
  ['15', 15],
  ['15-qpr2', 15.2],
  ['16', 16],
  ['newest', 17],
] as const)('on Android %s the command is as before', async ([name, release]) => {
  await expect(text(crosvmCommand(machine, capabilitiesOf(release)))).toMatchFileSnapshot(
    `../testdata/crosvm-${name}.args`,
  );
});

test.for([
  ['13', 13],
  ['16', 16],
] as const)('with a TAP device on Android %s the command is as before', async ([name, release]) => {
  await expect(text(crosvmCommand(tapped, capabilitiesOf(release)))).toMatchFileSnapshot(
    `../testdata/crosvm-${name}-tap.args`,
  );
});

test('the spelling that the phone lists comes first, and the other one follows with nothing optional', () => {
  const older = crosvmCommand(machine, capabilitiesOf(13)).variants;
  expect(older.map(({ argv }) => argv.includes('--block'))).toEqual([false, true]);
  const newer = crosvmCommand(machine, capabilitiesOf(16)).variants;
  expect(newer.map(({ argv }) => argv.includes('--block'))).toEqual([true, false]);
  expect(newer.map(({ argv }) => argv.includes('--name'))).toEqual([true, false]);
});

test('one CPU is asked for, and where the owner allows more, fewer follow', () => {
  const cpus = (allowed?: number) =>
    crosvmCommand(machine, capabilitiesOf(16), allowed === undefined ? {} : { cpus: allowed }).variants.map(
      (variant) => [variant.cpus, /--cpus (\d)/.exec(flatten(variant.argv))?.[1]],
    );
  expect(cpus()).toEqual([
    [1, '1'],
    [1, '1'],
  ]);
  expect(cpus(2).map(([count]) => count)).toEqual([2, 2, 1, 1]);
  expect(cpus(4).map(([count]) => count)).toEqual([4, 4, 2, 2, 1, 1]);
  for (const [count, given] of cpus(4)) expect(given).toBe(String(count));
});

test('the control channel is two files, and exit statuses tell crash from reset', () => {
  const command = crosvmCommand(machine, capabilitiesOf(14));
  expect(command).toMatchObject({ control: 'file', extendedExit: true });
  for (const { argv } of command.variants) {
    expect(argv.slice(1, 3)).toEqual(['--extended-status', 'run']);
    expect(flatten(argv)).toContain('num=2,path=/data/sovereign/services/sql/agent.out,input=');
  }
});

test('no disk but the data disk can be written, and no discard gives its space back', () => {
  const [structured, flat] = crosvmCommand(machine, capabilitiesOf(15)).variants.map(({ argv }) => argv);
  expect(structured?.filter((word) => word.startsWith('path=') && !word.includes('ro=true'))).toEqual([
    `path=${machine.data},sparse=false,id=sov-data`,
  ]);
  expect(flatten(flat).match(/--rwdisk \S+/g)).toEqual([`--rwdisk ${machine.data},sparse=false,id=sov-data`]);
});

test('a thin data disk takes discards, in both spellings, and is the same machine in all else', () => {
  const argvs = (discard: boolean) =>
    crosvmCommand({ ...machine, discard }, capabilitiesOf(15)).variants.map(({ argv }) => flatten(argv));
  const thin = argvs(true);
  expect(thin[0]).toContain(`--block path=${machine.data},sparse=true,id=sov-data`);
  expect(thin[1]).toContain(`--rwdisk ${machine.data},sparse=true,id=sov-data`);
  expect(thin.map((argv) => argv.replace('sparse=true', 'sparse=false'))).toEqual(argvs(false));
});

test('a crosvm whose help cannot be read is taken for that of its release', () => {
  const crosvm = {
    path: '/apex/com.android.virt/bin/crosvm',
    sha256: 'c'.repeat(64),
    flags: new Set<string>(),
  };
  const [first] = crosvmCommand(machine, capabilitiesOf(13, { crosvm })).variants;
  expect(first?.argv).toContain('--rwdisk');
});

test('a crosvm without a network device is refused by the name of the option', () => {
  const { crosvm, ...rest } = capabilitiesOf(16);
  const flags = new Set(crosvm?.flags);
  for (const flag of ['--net', '--tap-name']) flags.delete(flag);
  const minimal = { ...rest, crosvm: { path: '/crosvm', sha256: 'c'.repeat(64), flags } };
  expect(() => crosvmCommand(tapped, minimal)).toThrow(/lacks --tap-name/);
  expect(crosvmCommand(machine, minimal).variants).toHaveLength(2);
});

test.for([
  ['no-crosvm', machine, { crosvm: undefined }],
  ['no-hypervisor', machine, { hypervisor: undefined }],
  ['no-unprotected-vms', machine, { boot: { unprotected: false, protected: true } }],
  ['no-vsock', machine, { vhostVsock: false }],
  ['no-tun', tapped, { tun: false }],
  [
    'no-user-network',
    { ...machine, network: { mode: 'user', forwards: [], neighbours: { group: '', mac: '' } } },
    {},
  ],
  ['bad-path', { ...machine, data: '/data/a,b/data.img' }, {}],
  ['bad-path', { ...machine, root: 'store/root' }, {}],
  ['long-cmdline', { ...machine, cmdline: 'x'.repeat(2000) }, {}],
] as const)(
  'what cannot be expressed is refused as %s before anything starts',
  ([code, asked, different]) => {
    const phone = { ...capabilitiesOf(16), ...different } as Parameters<typeof crosvmCommand>[1];
    expect(() => crosvmCommand(asked as Machine, phone)).toThrow(expect.objectContaining({ code }) as Error);
  },
);
