import { flagsOf, isSince, type Flag, type Release } from './flags.ts';

/** What makes crosvm end with "invalid arguments". The message is in the words of the release. */
export class ArgumentError extends Error {}

export interface Disk {
  path: string;
  readOnly: boolean;
  root: boolean;
  sparse: boolean;
  lock: boolean;
  id?: string;
}

export interface Serial {
  type: 'file' | 'stdout' | 'sink' | 'syslog' | 'unix' | 'unix-stream' | 'unix-listen';
  hardware: 'serial' | 'virtio-console' | 'debugcon';
  num: number;
  console: boolean;
  earlycon: boolean;
  path?: string;
  /** File or FIFO that the guest reads from. */
  input?: string;
  stdin: boolean;
}

export interface Net {
  tapName?: string;
  mac?: string;
}

export interface Machine {
  kernel: string;
  params: string[];
  /** MiB. */
  memory: number;
  cpus: number;
  initrd?: string;
  disks: Disk[];
  serials: Serial[];
  nets: Net[];
  cid?: number;
  socket?: string;
  balloon: boolean;
  rng: boolean;
  /** Flags that the release knows and this stand-in has nothing for. */
  unsupported: string[];
}

type Given = [flag: Flag, value: string];

/** Splits a command line as the release does. */
function split(release: Release, argv: readonly string[]): { given: Given[]; free: string[] } {
  const known = flagsOf(release);
  const given: Given[] = [];
  const free: string[] = [];
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (!word.startsWith('-') || word === '-') {
      free.push(word);
      continue;
    }
    const [, name = '', joined] = /^([^=]*)(?:=([\s\S]*))?$/.exec(word) ?? [];
    const flag = known.find((one) => name === `--${one.name}` || name === `-${one.short ?? ''}`);
    if (flag === undefined) throw unknown(release, name);
    if (!flag.value) {
      if (joined !== undefined) throw unknown(release, word);
      given.push([flag, '']);
      continue;
    }
    const value = joined ?? argv[(at += 1)];
    if (value === undefined) {
      throw new ArgumentError(
        release === '13'
          ? `expected parameter value: ${flag.name}`
          : `No value provided for option '${name}'.`,
      );
    }
    if (!flag.many && given.some(([before]) => before === flag)) {
      throw new ArgumentError(
        release === '13' ? `\`${flag.name}\` already given` : `duplicate values provided: '${name}'`,
      );
    }
    given.push([flag, value]);
  }
  return { given, free };
}

const unknown = (release: Release, name: string): ArgumentError =>
  new ArgumentError(
    release === '13' ? `unknown argument: ${name}` : `arg parsing failed: Unrecognized argument: ${name}`,
  );

const invalid = (release: Release, flag: string, value: string, why: string): ArgumentError =>
  new ArgumentError(
    release === '13'
      ? `invalid value "${value}": ${why}`
      : `arg parsing failed: Error parsing option '--${flag}' with value '${value}': ${why}`,
  );

/** serde_keyvalue: `key=value` pairs with commas between them; a first word without a key goes to `first`. */
function pairs(text: string, first: string): [string, string][] {
  return (text.match(/(?:[^,[\]]|\[[^\]]*\])+/g) ?? []).map((part, index) => {
    const at = part.indexOf('=');
    if (at !== -1) return [part.slice(0, at), part.slice(at + 1)];
    return index === 0 && first !== '' ? [first, part] : [part, 'true'];
  });
}

class Values {
  private readonly release: Release;
  private readonly flag: string;
  private readonly text: string;
  private readonly map = new Map<string, string>();

  constructor(release: Release, flag: string, text: string, first: string, allowed: readonly string[]) {
    this.release = release;
    this.flag = flag;
    this.text = text;
    for (const [key, value] of pairs(text, first)) {
      const name = key.replaceAll('_', '-').replace(/^o-direct$/, 'direct');
      if (!allowed.includes(name)) throw this.fail(`unknown field \`${key}\``);
      if (this.map.has(name)) throw this.fail(`duplicate field \`${key}\``);
      this.map.set(name, value);
    }
  }

  fail(why: string): ArgumentError {
    return invalid(this.release, this.flag, this.text, why);
  }

  get(key: string): string | undefined {
    return this.map.get(key);
  }

  required(key: string): string {
    const value = this.map.get(key);
    if (value === undefined || value === '') throw this.fail(`missing field \`${key}\``);
    return value;
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.map.get(key);
    if (value === undefined) return fallback;
    if (value !== 'true' && value !== 'false') throw this.fail('expected boolean');
    return value === 'true';
  }

  number(key: string, fallback: number): number {
    const value = this.map.get(key);
    if (value === undefined) return fallback;
    if (!/^\d+$/.test(value)) throw this.fail('expected number');
    return Number(value);
  }
}

function diskKeys(release: Release): string[] {
  const early = ['path', 'sparse', 'block-size', 'direct', 'id'];
  if (release === '13') return early;
  const argh = [...early, 'ro', 'root', 'async-executor', 'multiple-workers'];
  const later = isSince(release, '15') ? ['packed-queue', 'bootindex', 'pci-address'] : [];
  return [...argh, ...later, ...(isSince(release, '15-QPR1') ? ['lock'] : [])];
}

const ID_LENGTH = 20;

function disk(release: Release, flag: string, text: string): Disk {
  const values = new Values(release, flag, text, 'path', diskKeys(release));
  const id = values.get('id');
  if (id !== undefined && id.length > ID_LENGTH)
    throw values.fail(`invalid length ${id.length}, expected at most ${ID_LENGTH}`);
  return {
    path: values.required('path'),
    readOnly: flag === 'block' ? values.boolean('ro', false) : flag === 'disk' || flag === 'root',
    root: flag === 'root' || flag === 'rwroot' || values.boolean('root', false),
    sparse: values.boolean('sparse', true),
    lock: values.boolean('lock', true),
    ...(id === undefined ? {} : { id }),
  };
}

const serialTypes = ['file', 'stdout', 'sink', 'syslog', 'unix', 'unix-stream', 'unix-listen'] as const;
const hardwares = ['serial', 'virtio-console', 'debugcon'] as const;

function serial(release: Release, text: string): Serial {
  const later = [
    'name',
    'debugcon-port',
    ...(isSince(release, '15') ? ['pci-address', 'out-timestamp'] : []),
  ];
  const keys = ['type', 'hardware', 'num', 'path', 'input', 'console', 'earlycon', 'stdin'];
  const values = new Values(release, 'serial', text, '', [...keys, ...(release === '13' ? [] : later)]);
  const type = serialTypes.find((one) => one === values.required('type'));
  const hardware = hardwares.find((one) => one === (values.get('hardware') ?? 'serial'));
  if (type === undefined || (type.startsWith('unix-') && !isSince(release, '15'))) {
    throw values.fail(`unknown variant \`${values.get('type') ?? ''}\``);
  }
  if (hardware === undefined) throw values.fail(`unknown variant \`${values.get('hardware') ?? ''}\``);
  const num = values.number('num', 1);
  if (num < 1 || (hardware === 'serial' && num > 4)) throw values.fail('invalid serial device number');
  const earlycon = values.boolean('earlycon', false);
  if (earlycon && hardware !== 'serial') throw values.fail('earlycon is only supported by serial hardware');
  const path = values.get('path');
  const input = values.get('input');
  if ((type === 'file' || type.startsWith('unix')) && path === undefined)
    throw values.fail('missing field `path`');
  return {
    ...{ type, hardware, num, earlycon },
    console: values.boolean('console', false),
    stdin: values.boolean('stdin', false),
    ...(path === undefined ? {} : { path }),
    ...(input === undefined ? {} : { input }),
  };
}

function checkSerials(release: Release, serials: readonly Serial[]): void {
  const seen = new Set<string>();
  for (const { hardware, num } of serials) {
    const place = `${hardware} ${num}`;
    if (seen.has(place)) throw new ArgumentError(`serial hardware ${hardware} num ${num} already specified`);
    seen.add(place);
  }
  if (serials.filter(({ stdin }) => stdin).length > 1)
    throw new ArgumentError('only one serial device may have stdin');
  if (serials.filter(({ earlycon }) => earlycon).length > 1)
    throw new ArgumentError('only one device may be earlycon');
  const consoles = serials.filter((one) => one.console);
  const perHardware =
    release === '13' ? consoles.length : consoles.length - new Set(consoles.map((c) => c.hardware)).size + 1;
  if (consoles.length > 0 && perHardware > 1) throw new ArgumentError('console already set');
}

function net(release: Release, text: string): Net {
  const keys = ['tap-name', 'tap-fd', 'mac', 'host-ip', 'netmask', 'vhost-net', 'vq-pairs', 'packed-queue'];
  const values = new Values(release, 'net', text, '', [
    ...keys,
    ...(isSince(release, '15') ? ['mrg-rxbuf'] : []),
  ]);
  const tapName = values.get('tap-name');
  const mac = values.get('mac');
  if (mac !== undefined && !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac))
    throw values.fail('invalid MAC address');
  return { ...(tapName === undefined ? {} : { tapName }), ...(mac === undefined ? {} : { mac }) };
}

function plainNumber(
  release: Release,
  flag: string,
  text: string,
  key: string,
  others: readonly string[],
): number {
  const structured = isSince(release, '14');
  if (!structured && !/^\d+$/.test(text)) throw invalid(release, flag, text, 'this value must be an integer');
  const values = new Values(release, flag, text, key, [key, ...others]);
  return Number(values.required(key)) > 0
    ? values.number(key, 0)
    : (() => {
        throw values.fail('expected number');
      })();
}

/** Flags that change nothing in a stand-in's VM, beside those that are read below. */
const harmless = new Set(
  `disable-sandbox no-usb no-smt balloon-page-reporting no-pmu name hugepages boost-uclamp syslog-tag
  no-legacy no-rtc no-i8042 strict-balloon lock-guest-memory pci host-cpu-topology async-executor`.split(
    /\s+/,
  ),
);

const read = new Set(
  `mem cpus params initrd disk rwdisk root rwroot block serial net tap-name cid vsock socket no-balloon
  no-rng`.split(/\s+/),
);

/**
 * The arguments after `run`, as strictly as the release.
 * @throws ArgumentError
 */
export function parseRun(release: Release, argv: readonly string[]): Machine {
  const { given, free } = split(release, argv);
  const all = (name: string) => given.filter(([flag]) => flag.name === name).map(([, value]) => value);
  const one = (name: string) => all(name).at(-1);
  const has = (name: string) => given.some(([flag]) => flag.name === name);

  if (free.length > 1) {
    throw new ArgumentError(
      release === '13'
        ? `too many arguments: expected exactly one kernel path: ${free.length}`
        : `arg parsing failed: Unrecognized argument: ${free[1] ?? ''}`,
    );
  }
  const [kernel] = free;
  if (kernel === undefined) {
    throw new ArgumentError(release === '13' ? 'expected argument: `KERNEL`' : 'Executable is not specified');
  }
  if (has('cid') && has('vsock')) {
    throw new ArgumentError('`cid` and `vsock` cannot be specified together. Use `vsock` only');
  }

  // The flat --mac belongs to --host-ip; with a TAP device by name only --net takes one.
  for (const name of ['host-ip', 'netmask', 'mac']) {
    if ((has('host-ip') || has('netmask') || has('mac')) && !has(name)) {
      throw new ArgumentError(
        `\`${name.replace('-', release === '13' ? '_' : '-')}\` missing from network config`,
      );
    }
  }

  const serials = all('serial').map((text) => serial(release, text));
  checkSerials(release, serials);
  const disks = given
    .filter(([flag]) => ['disk', 'rwdisk', 'root', 'rwroot', 'block'].includes(flag.name))
    .map(([flag, value]) => disk(release, flag.name, value));
  if (disks.filter(({ root }) => root).length > 1) throw new ArgumentError('only one root disk allowed');

  const cidText = one('cid') ?? one('vsock');
  const cid =
    cidText === undefined
      ? undefined
      : plainNumber(release, has('cid') ? 'cid' : 'vsock', cidText, 'cid', has('cid') ? [] : ['device']);
  const initrd = one('initrd');
  const socket = one('socket');
  return {
    kernel,
    params: all('params'),
    memory: plainNumber(release, 'mem', one('mem') ?? '256', 'size', []),
    cpus: plainNumber(release, 'cpus', one('cpus') ?? '1', 'num-cores', [
      ...['clusters', 'core-types', 'boot-cpu', 'freq-domains'],
      ...(isSince(release, '15-QPR2') ? ['sve'] : []),
    ]),
    disks,
    serials:
      serials.length > 0
        ? serials
        : [{ type: 'stdout', hardware: 'serial', num: 1, console: true, earlycon: false, stdin: false }],
    nets: [
      ...all('tap-name').map((tapName) => ({ tapName })),
      ...all('net').map((text) => net(release, text)),
    ],
    ...(cid === undefined ? {} : { cid }),
    ...(initrd === undefined ? {} : { initrd }),
    ...(socket === undefined ? {} : { socket }),
    balloon: !has('no-balloon'),
    rng: !has('no-rng'),
    unsupported: given.map(([flag]) => flag.name).filter((name) => !harmless.has(name) && !read.has(name)),
  };
}
