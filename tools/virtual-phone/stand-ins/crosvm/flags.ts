/** Releases of Android by their crosvm, oldest first; `newest` is crosvm's own tree. */
export const releases = [
  '13',
  '14',
  '14-QPR1',
  '14-QPR2',
  '14-QPR3',
  '15',
  '15-QPR1',
  '15-QPR2',
  '16',
  '17',
] as const;
export type Release = (typeof releases)[number];

export interface Flag {
  name: string;
  short?: string;
  /** Whether a value follows. */
  value: boolean;
  /** Whether it may be given more than once. */
  many: boolean;
  from: Release;
  /** The first release without it. */
  until?: Release;
}

/** `-s socket=`: a value follows; `disk*=`: many times; without `=`: a switch. */
function parse(from: Release, text: string): Flag[] {
  return text
    .trim()
    .split(/\s+/)
    .map((word) => {
      const [, short, name = '', many, value] = /^(?:(\w)\/)?([a-z0-9-]+)(\*?)(=?)$/.exec(word) ?? [];
      return {
        name,
        ...(short === undefined ? {} : { short }),
        value: value === '=',
        many: many === '*',
        from,
      };
    });
}

/**
 * What `crosvm run` of each release takes, read from src/main.rs (13) and src/crosvm/cmdline.rs (later ones) of
 * AOSP's branches. A flag that Android never compiles in is not here.
 */
export const flags: readonly Flag[] = [
  ...parse(
    '13',
    `m/mem= c/cpus= p/params*= i/initrd= d/disk*= rwdisk*= r/root= rwroot= cid= tap-name*= tap-fd*= serial*= s/socket=
    disable-sandbox protected-vm protected-vm-without-firmware no-balloon no-rng no-usb no-smt pmem-device*=
    rw-pmem-device*= shared-dir*= swiotlb= vhost-net vhost-vsock-device= vhost-vsock-fd= battery*= bios= gdb=
    hugepages init-mem= cpu-affinity= cpu-cluster*= cpu-capacity= host-cpu-topology task-profiles=
    vcpu-cgroup-path= rt-cpus= per-vm-core-scheduling kvm-device= file-backed-mapping*= syslog-tag= mac= netmask=
    host-ip= balloon-bias-mib= delay-rt seccomp-log-failures seccomp-policy-dir= plugin-root=
    strict-balloon android-fstab=`,
  ),
  ...parse(
    '14',
    `b/block*= net*= vsock= hypervisor= irqchip= cfg*= swap= restore= balloon-page-reporting lock-guest-memory mte
    dump-device-tree-blob= disable-virtio-intx unmap-guest-memory-on-fork unprotected-vm-with-firmware=
    async-executor= no-i8042 no-legacy no-rtc`,
  ),
  ...parse('14-QPR1', 'core-scheduling='),
  ...parse('14-QPR2', 'suspended scsi-block*= virt-cpufreq'),
  ...parse('14-QPR3', 'vhost-user*= device-tree-overlay*='),
  ...parse('15', 'boost-uclamp input*='),
  ...parse('15-QPR1', 'pmem*= fdt-position='),
  ...parse('15-QPR2', 'name= no-pmu pci*= virt-cpufreq-upstream'),
  ...parse('17', 'force-disable-readonly-mem smccc-trng nested suspended-vcpus='),
].map((flag) => (flag.name === 'cfg' ? { ...flag, until: '17' as const } : flag));

const order = (release: Release): number => releases.indexOf(release);

export const isSince = (release: Release, from: Release): boolean => order(release) >= order(from);

export const flagsOf = (release: Release): Flag[] =>
  flags
    .filter(({ from, until }) => isSince(release, from) && (until === undefined || !isSince(release, until)))
    .sort((a, b) => (a.name < b.name ? -1 : 1));

/** `crosvm run --help` in the layout of the release: hand-written up to 13, argh's from 14 on. */
export function help(release: Release): string {
  const lines = flagsOf(release).map(({ name, short, value }) => {
    if (release === '13') {
      const option = `${short === undefined ? '    ' : ` -${short},`} --${name.padEnd(12)}${value ? ' VALUE' : ''}`;
      return `${option.padEnd(34)} (a stand-in does not explain it)`;
    }
    const option = `  ${short === undefined ? '' : `-${short}, `}--${name}`;
    return option.length < 19
      ? `${option.padEnd(20)}as crosvm has it`
      : `${option}\n${' '.repeat(20)}as crosvm has it`;
  });
  return release === '13'
    ? [
        'Usage: crosvm run [arguments] KERNEL',
        '',
        'Arguments:',
        ...lines,
        ' -h, --help         Print help message.',
      ].join('\n')
    : [
        'Usage: crosvm run [<KERNEL>] [options]',
        '',
        'Start a new crosvm instance',
        '',
        'Positional Arguments:',
        '  KERNEL            bzImage of kernel to run',
        '',
        'Options:',
        ...lines,
        '  --help            display usage information',
      ].join('\n');
}
