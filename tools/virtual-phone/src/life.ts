import { spawn } from 'node:child_process';
import { existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SovereignError, step } from '@sovereign/report';
import { workspaceRoot } from '@sovereign/store';
import { execa } from 'execa';
import { checkMachine, hostLines } from './host.ts';
import { releases } from './releases.ts';
import {
  adbPort,
  announce,
  dataImage,
  findPhone,
  forget,
  hostAddress,
  hostInterface,
  identify,
  isAlive,
  listens,
  phoneAddress,
  readPhone,
  register,
  savePhone,
  serial,
  stateFolder,
  type Elsewhere,
  type Phone,
  type Process,
  type Uplink,
} from './state.ts';
import { phoneTree } from './tree.ts';

const own = join(import.meta.dirname, '..');

/** Waits for a named condition, asked every 50 ms. @throws SovereignError `timeout` after `seconds` */
async function until(what: string, seconds: number, done: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!(await done())) {
    if (performance.now() > end) {
      throw new SovereignError({
        code: 'timeout',
        what: `${what} did not happen within ${seconds} s`,
        hint: 'Its log is in /run/sovereign/virtual-phone/NAME',
      });
    }
    await sleep(50);
  }
}

async function end(process: Process | undefined): Promise<void> {
  if (!isAlive(process)) return;
  globalThis.process.kill(process.pid, 'SIGKILL');
  await until(`the end of process ${process.pid}`, 60, () => !isAlive(process));
}

/** Starts a process that outlives this one, with its output in a log of the phone. */
function detach(phone: Phone, log: string, [file = '', ...args]: string[], env?: NodeJS.ProcessEnv) {
  const output = openSync(join(stateFolder(phone.name), log), 'a');
  const child = spawn(file, args, {
    detached: true,
    stdio: ['pipe', output, output],
    cwd: '/',
    ...(env === undefined ? {} : { env }),
  });
  child.unref();
  if (child.pid === undefined) throw new Error(`${file} does not start`);
  return { pid: child.pid, stdin: child.stdin };
}

const inNet = ({ pid }: Process, argv: string[]) =>
  execa('nsenter', ['--net', '--target', String(pid), ...argv]);

/** The adb server of this phone alone: no USB, no emulators, no keys of a developer. */
async function startAdbServer(phone: Phone): Promise<void> {
  const home = join(stateFolder(phone.name), 'home');
  await mkdir(home, { recursive: true });
  const hide = 'mount -t tmpfs none /dev/bus/usb 2>/dev/null; exec "$@"';
  const port = adbPort(phone);
  const { pid } = detach(
    phone,
    'adb.log',
    ['unshare', '--mount', 'sh', '-c', hide, 'sh', 'adb', '-P', String(port), 'nodaemon', 'server'],
    // Emulators are looked for from 5555 up to this port.
    { PATH: process.env.PATH, HOME: home, TMPDIR: home, ADB_LOCAL_TRANSPORT_MAX_PORT: '5553', ADB_MDNS: '0' },
  );
  phone.processes.adb = identify(pid);
  await savePhone(phone);
  await until('the start of the adb server', 60, () => listens(port));
}

export const adb = (phone: Phone, args: string[]) =>
  execa('adb', ['-P', String(adbPort(phone)), ...args], { reject: false, all: true });

async function startWorld(phone: Phone): Promise<void> {
  const setUp = 'ip link set lo up; exec "$@"';
  const { pid } = detach(phone, 'world.log', [
    ...['unshare', '--net', 'sh', '-c', setUp, 'sh'],
    ...[process.execPath, join(own, 'src/world.ts'), '10.174.7.1'],
  ]);
  await until('the start of the test world', 60, async () => {
    const { stdout } = await execa('nsenter', [
      '--net',
      '--target',
      String(pid),
      'ss',
      '-Hltn',
      'sport = :80',
    ]);
    return stdout !== '';
  });
  phone.processes.world = identify(pid);
  await savePhone(phone);
}

/** Properties and other values of the release that the phone plays, one `KEY VALUE` a line. */
async function configuration(phone: Phone): Promise<string> {
  const { sdk, virt } = releases[phone.android];
  const patch = `2026-${String(1 + phone.updates).padStart(2, '0')}-05`;
  const properties = {
    'ro.build.version.release': phone.android.split('-')[0] ?? '',
    'ro.build.version.sdk': String(sdk),
    'ro.build.version.security_patch': patch,
    'ro.build.fingerprint': `sovereign/virtual/phone:${phone.android}/${phone.updates}:user/release-keys`,
    'ro.build.type': phone.root === 'userdebug' ? 'userdebug' : 'user',
    'ro.debuggable': phone.root === 'userdebug' ? '1' : '0',
    'ro.product.model': 'Virtual Phone',
    'ro.product.manufacturer': 'Sovereign',
    'ro.product.device': 'virtual',
    'ro.product.cpu.abi': 'arm64-v8a',
    'ro.serialno': `SOVPHONE${phone.index}`,
    'ro.boot.hypervisor.vm.supported': '1',
    'ro.boot.hypervisor.protected_vm.supported': '0',
    'ro.boot.hypervisor.version': 'kvm.arm-protected',
    'ro.crypto.state': 'encrypted',
    'ro.crypto.type': 'file',
    'apexd.status': 'ready',
    'init.svc.adbd': 'running',
  };
  return [
    ...Object.entries(properties).map(([name, value]) => `property ${name} ${value}`),
    `android ${phone.android}`,
    `root ${phone.root}`,
    `max-cpus ${phone.cpus}`,
    `virt-version ${virt + phone.updates}`,
    `adb-address ${phoneAddress(phone)}/30`,
    'boot-seconds 1',
    `uplink ${phone.uplink}`,
    ...(phone.elsewhere === undefined ? [] : [`resolver ${phone.elsewhere.resolver}`]),
    ...(await hostLines()),
    '',
  ].join('\n');
}

/** Powers the phone on: namespaces, interfaces, its init. */
async function powerOn(phone: Phone): Promise<void> {
  const { world } = phone.processes;
  const ends = phone.elsewhere?.ends ?? { 'v4-rmnet0': world, wlan0: world };
  const work = join(stateFolder(phone.name), 'work');
  await mkdir(work, { recursive: true });
  await writeFile(`${work}.conf`, await configuration(phone));
  const { pid: outer, stdin } = detach(phone, 'phone.log', [
    ...['unshare', '--net', '--mount', '--pid', '--uts', '--ipc', '--fork', '--kill-child'],
    ...['sh', join(own, 'boot/enter.sh'), await phoneTree(), work, dataImage(phone.name), workspaceRoot()],
  ]);
  const children = `/proc/${outer}/task/${outer}/children`;
  const firstChild = () => Number(existsSync(children) ? readFileSync(children, 'utf8').split(' ')[0] : '');
  await until('the start of the first process', 60, () => firstChild() > 0);
  const init = identify(firstChild());
  phone.processes.phone = init;
  await savePhone(phone);

  const host = hostInterface(phone);
  await execa('ip', ['link', 'add', host, 'type', 'veth', 'peer', 'name', 'adb0', 'netns', String(init.pid)]);
  await execa('ip', ['addr', 'add', `${hostAddress(phone)}/30`, 'dev', host]);
  await execa('ip', ['link', 'set', host, phone.plugged ? 'up' : 'down']);
  for (const [name, address] of [
    ['v4-rmnet0', '10.174.7.1/30'],
    ['wlan0', '192.168.178.1/24'],
  ] as const) {
    const far = ends[name];
    if (!isAlive(far)) throw new Error(`the network that ${name} of this phone leads to has ended`);
    // The end of a phone that went may be there for some seconds.
    await inNet(far, ['ip', 'link', 'del', name]).catch(() => undefined);
    const peer = ['peer', 'name', name, 'netns', String(init.pid)];
    await inNet(far, ['ip', 'link', 'add', name, 'type', 'veth', ...peer]);
    await inNet(far, ['ip', 'addr', 'add', address, 'dev', name]);
    await inNet(far, ['ip', 'link', 'set', name, 'up']);
  }
  stdin?.end('go\n');
}

async function powerOff(phone: Phone): Promise<void> {
  await end(phone.processes.phone);
  // Its peer went with the namespace; the kernel would take this end away some seconds later.
  await execa('ip', ['link', 'del', hostInterface(phone)], { reject: false });
  await removeGroups(phone);
  delete phone.processes.phone;
  await savePhone(phone);
}

/** The phone's branch of cgroups, whose processes have ended: folders within folders. */
async function removeGroups({ name }: Phone): Promise<void> {
  const mounts = readFileSync('/proc/mounts', 'utf8');
  const root = /^\S+ (\S+) cgroup2 /m.exec(mounts)?.[1];
  const group = root === undefined ? undefined : join(root, `sovereign-phone-${name}`);
  if (group === undefined || !existsSync(group)) return;
  const { stdout } = await execa('find', [group, '-depth', '-type', 'd']);
  await execa('rmdir', stdout.split('\n'), { reject: false });
}

/** Runs a program inside the phone, as root, past adb. */
export function inside(phone: Phone, argv: string[], stdio: 'inherit' | 'pipe' = 'pipe') {
  const init = phone.processes.phone;
  if (!isAlive(init)) {
    throw new SovereignError({
      code: 'no-phone',
      what: 'this test phone is off',
      on: phone.name,
      hint: `Run: phone stop ${phone.name}, then phone start ${phone.name}`,
      exit: 4,
    });
  }
  const enter = [
    '--target',
    String(init.pid),
    '--mount',
    '--net',
    '--pid',
    '--uts',
    '--ipc',
    '--root',
    '--wd',
  ];
  const path = '/system/bin:/system/xbin:/vendor/bin';
  const env = ['/system/bin/env', '-i', `PATH=${path}`, 'HOME=/', `TERM=${process.env.TERM ?? 'dumb'}`];
  return execa('nsenter', [...enter, '--', ...env, ...argv], { stdio, reject: false });
}

const hasBooted = async (phone: Phone): Promise<boolean> =>
  (await inside(phone, ['getprop', 'sys.boot_completed'])).stdout === '1';

/** Where the cable is in. */
async function connect(phone: Phone): Promise<void> {
  if (!phone.plugged) return;
  await until('the connection of adb', 120, async () => {
    const { all } = await adb(phone, ['connect', serial(phone)]);
    if (!all.includes('connected to')) return false;
    const { stdout } = await adb(phone, ['-s', serial(phone), 'get-state']);
    return stdout === 'device';
  });
}

export interface StartOptions {
  name: string;
  android: Phone['android'];
  root: Phone['root'];
  uplink: Uplink;
  cpus: number;
  /** Size of /data in MiB; it takes no more of this machine than is written. */
  data: number;
  elsewhere?: Elsewhere;
}

/** Starts a phone that is unlocked and reached over adb, and gives its serial. */
export async function start({ data, ...wanted }: StartOptions): Promise<string> {
  checkMachine();
  const phone = await register(wanted);
  try {
    await step(`start the test phone ${phone.name} (Android ${phone.android}, ${phone.root})`, async () => {
      const image = dataImage(phone.name);
      await mkdir(dirname(image), { recursive: true });
      writeFileSync(image, '');
      await truncate(image, data * 2 ** 20);
      await execa('mkfs.ext4', ['-q', '-F', '-m', '0', '-E', 'nodiscard', image]);
      await startAdbServer(phone);
      if (phone.elsewhere === undefined) await startWorld(phone);
      await powerOn(phone);
      await until('the boot', 180, () => hasBooted(phone));
      await unlock(phone);
      await connect(phone);
      await announce(phone);
    });
  } catch (error) {
    const log = lastLines(phone);
    await remove(phone);
    throw new SovereignError({
      code: 'phone-failed',
      what: `the test phone does not start: ${error instanceof Error ? error.message : String(error)}`,
      on: phone.name,
      hint: log === '' ? undefined : `Its logs end with:\n${log}`,
      cause: error,
    });
  }
  return serial(phone);
}

function lastLines(phone: Phone): string {
  return ['world.log', 'adb.log', 'phone.log']
    .map((name) => join(stateFolder(phone.name), name))
    .filter((file) => existsSync(file))
    .flatMap((file) => readFileSync(file, 'utf8').trim().split('\n').slice(-10))
    .join('\n');
}

async function remove(phone: Phone): Promise<void> {
  const { adb, world } = phone.processes;
  // Side by side: the kernel takes about two seconds to take down each one's namespaces.
  await Promise.all([end(adb), end(world), powerOff(phone)]);
  await forget(phone);
}

/** A phone of that name that is not there is no error: what is asked for is so already. */
export async function stop(name: string | undefined): Promise<void> {
  const phone = name === undefined ? await findPhone(name) : await readPhone(name);
  if (phone !== undefined) await step(`stop the test phone ${phone.name}`, () => remove(phone));
}

export interface RebootOptions {
  /** Asks the phone to shut down first, as its power menu does; otherwise the power goes. */
  clean: boolean;
  unlock: boolean;
}

/** Seconds from the first sign of a shutdown to the request of init, and from there to the end. */
const SHUTDOWN_SECONDS = [4, 6] as const;

export async function reboot(name: string | undefined, options: RebootOptions): Promise<void> {
  const phone = await findPhone(name);
  await step(`reboot the test phone ${phone.name}`, async () => {
    if (options.clean) await shutDown(phone);
    await restart(phone);
    if (options.unlock) await unlock(phone);
  });
}

async function restart(phone: Phone): Promise<void> {
  await adb(phone, ['disconnect', serial(phone)]);
  await powerOff(phone);
  await powerOn(phone);
  await until('the boot', 180, () => hasBooted(phone));
  await connect(phone);
}

/**
 * What Android's framework and init do. Programs that init did not start are told by these properties alone, and
 * nobody waits for them; here it ends sooner where none of them is left.
 */
async function shutDown(phone: Phone): Promise<void> {
  const [framework, init] = SHUTDOWN_SECONDS;
  // With the empty line that stands for a heading.
  const own = /^$|^(tini|adbd|sleep|ps|sh \/\.phone\/bin\/init\.sh)\b/;
  const alone = async () => {
    const { stdout } = await inside(phone, ['ps', '-A', '-o', 'args=']);
    return (stdout ?? '').split('\n').every((args) => own.test(args.trim()));
  };
  const given = (seconds: number) => until('the end of all programs', seconds, alone).catch(() => undefined);
  await inside(phone, ['setprop', 'sys.shutdown.requested', '0userrequested']);
  await given(framework);
  await inside(phone, ['setprop', 'sys.powerctl', 'reboot,userrequested']);
  await given(init);
}

/** The first unlock after a boot: credential-encrypted folders appear. */
export async function unlock(phone: Phone): Promise<void> {
  await inside(phone, ['sh', '-c', 'umount /data/user; umount /data/data; umount /data/media']);
  await inside(phone, ['setprop', 'sys.user.0.ce_available', 'true']);
}

/** Pulls the cable: whatever ran over adb ends, and adb no longer knows the phone. */
export async function unplug(name: string | undefined): Promise<void> {
  const phone = await findPhone(name);
  await adb(phone, ['disconnect', serial(phone)]);
  await execa('ip', ['link', 'set', hostInterface(phone), 'down']);
  await savePhone({ ...phone, plugged: false });
}

export async function plug(name: string | undefined): Promise<void> {
  const phone = await findPhone(name);
  await execa('ip', ['link', 'set', hostInterface(phone), 'up']);
  phone.plugged = true;
  await savePhone(phone);
  await connect(phone);
}

/** What init does to adbd at `adb root` or another USB mode: the end of everything in its cgroup. */
export async function restartAdbd(name: string | undefined): Promise<void> {
  const phone = await findPhone(name);
  const kill = 'echo 1 >/sys/fs/cgroup/uid_0/pid_adbd/cgroup.kill || kill -9 $(pidof adbd)';
  await inside(phone, ['sh', '-c', kill]);
  await adb(phone, ['disconnect', serial(phone)]);
  await connect(phone);
}

/** An update of Android in the night: another release's crosvm, another fingerprint, the root flavour's hooks gone. */
export async function ota(name: string | undefined, android: Phone['android'] | undefined): Promise<void> {
  const phone = await findPhone(name);
  await step(`update the test phone ${phone.name}`, async () => {
    phone.updates += 1;
    phone.android = android ?? phone.android;
    await savePhone(phone);
    const hooks = ['post-fs-data.d', 'post-mount.d', 'service.d', 'boot-completed.d'].map(
      (name) => `/data/adb/${name}`,
    );
    await inside(phone, ['rm', '-rf', ...hooks]);
    await restart(phone);
  });
}

export async function setUplink(name: string | undefined, uplink: Uplink): Promise<void> {
  const phone = await findPhone(name);
  const { exitCode, stderr } = await inside(phone, ['sh', '/.phone/bin/uplink.sh', uplink]);
  if (exitCode !== 0) throw new Error(`the uplink does not change: ${stderr}`);
  phone.uplink = uplink;
  await savePhone(phone);
}
