import { expect, test } from 'vitest';
import { parseRun } from './arguments.ts';
import { kernelLine, refusal, toArgs } from './qemu.ts';

const machine = parseRun('15', [
  ...['--mem', '512', '--cpus', '2', '--cid', '7', '--net', 'tap-name=sov-sql,mac=52:53:56:00:00:02'],
  ...['--serial', 'type=file,hardware=serial,num=1,path=/log/early,console=true,earlycon=true'],
  ...['--serial', 'type=file,hardware=virtio-console,num=2,path=/agent.out,input=/agent.in'],
  ...['--serial', 'type=file,hardware=virtio-console,num=1,path=/log/console'],
  ...['--block', 'path=/a,ro=true,id=sov-root', '--block', 'path=/data,sparse=false,id=sov-data'],
  ...['--params', 'ro quiet', '--no-balloon', 'Image'],
]);
const args = toArgs(machine, { monitor: 3, stdout: 4, vsock: '/v' });
const after = (option: string) => args.flatMap((word, at) => (word === option ? [args[at + 1] ?? ''] : []));

test("crosvm's UART becomes QEMU's on the kernel's line", () => {
  expect(kernelLine(machine)).toBe('panic=-1 console=ttyAMA0 earlycon=pl011,0x09000000 ro quiet');
});

test('consoles keep the order of their numbers, and the one with an input is standard input', () => {
  expect(after('-chardev').filter((text) => text.includes('hvc'))).toEqual([
    'file,id=hvc0,path=/log/console,append=on',
    'stdio,id=hvc1,signal=off',
  ]);
});

test('disks carry their ids, and only a sparse one gives back what is discarded', () => {
  expect(after('-drive')).toEqual([
    expect.stringContaining('readonly=on,discard=unmap'),
    expect.stringContaining('file=/data,format=raw,readonly=off,discard=ignore'),
  ]);
  expect(after('-device')).toEqual(
    expect.arrayContaining([
      'virtio-blk-pci,drive=disk0,serial=sov-root',
      'vhost-user-vsock-pci,chardev=vsock',
    ]),
  );
});

test('the TAP device is taken by name, with its hardware address', () => {
  expect(after('-netdev')).toEqual(['tap,id=net0,ifname=sov-sql,script=no,downscript=no']);
  expect(after('-device')).toContain('virtio-net-pci,netdev=net0,romfile=,mac=52:53:56:00:00:02');
});

test('what QEMU cannot stand in for is refused by name', () => {
  expect(refusal(machine)).toBeUndefined();
  expect(refusal(parseRun('15', ['--shared-dir', '/a:b', 'Image']))).toContain('--shared-dir');
  expect(refusal(parseRun('15', ['--serial', 'type=sink,num=2', 'Image']))).toBe('one UART, not several');
});
