import { once } from 'node:events';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { SovereignError } from '@sovereign/report';
import { withLock, writeFileAtomic } from '@sovereign/store';

export const androids = ['13', '14', '15', '15-QPR2', '16', '17'] as const;
export type Android = (typeof androids)[number];
export const flavours = ['magisk', 'kernelsu', 'apatch', 'userdebug'] as const;
export type Flavour = (typeof flavours)[number];
export const uplinks = ['v4-rmnet0', 'wlan0', 'none'] as const;
export type Uplink = (typeof uplinks)[number];

/** A process of this machine, known by pid and start time (field 22 of proc(5) stat, in clock ticks). */
export interface Process {
  pid: number;
  start: string;
}

export interface Phone {
  name: string;
  /** From 1; decides addresses, interface names and the adb server's port. */
  index: number;
  android: Android;
  root: Flavour;
  uplink: Uplink;
  /** With more of them a guest is reset in early boot. */
  cpus: number;
  /** Whether the cable is in. */
  plugged: boolean;
  /** How often an update of Android came (`ota`). */
  updates: number;
  processes: Partial<Record<'world' | 'adb' | 'phone', Process>>;
  /** Somebody else's network that the phone is in, instead of in a world of its own. */
  elsewhere?: Elsewhere;
}

export interface Elsewhere {
  /** Processes in whose network namespaces the uplinks end. */
  ends: Record<Exclude<Uplink, 'none'>, Process>;
  /** Address of the resolver that both uplinks name. */
  resolver: string;
}

const RUN = '/run/sovereign';
/** Where phones that run are announced: a file a phone, with one line `SERIAL ADB_SERVER_PORT`. */
const announced = join(RUN, 'virtual-phones');
const states = join(RUN, 'virtual-phone');

/** Folder of a phone's state, logs and mount point; gone with `stop`. */
export const stateFolder = (name: string): string => join(states, name);
/** Where a phone's /data is kept, on a real file system; gone with `stop`. */
export const dataImage = (name: string): string => join('/var/tmp/sovereign/virtual-phone', `${name}.data`);

export const hostAddress = ({ index }: Phone): string => `198.18.${index}.1`;
export const phoneAddress = ({ index }: Phone): string => `198.18.${index}.2`;
export const serial = (phone: Phone): string => `${phoneAddress(phone)}:5555`;
export const adbPort = ({ index }: Phone): number => 5237 + index;
export const hostInterface = ({ index }: Phone): string => `sovphone${index}`;

export function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold spaces.
    return stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .at(19);
  } catch {
    return undefined;
  }
}

export function identify(pid: number): Process {
  const start = startTime(pid);
  if (start === undefined) throw new Error(`process ${pid} has ended`);
  return { pid, start };
}

export const isAlive = (process: Process | undefined): process is Process =>
  process !== undefined && startTime(process.pid) === process.start;

export async function readPhone(name: string): Promise<Phone | undefined> {
  try {
    return JSON.parse(await readFile(join(stateFolder(name), 'state.json'), 'utf8')) as Phone;
  } catch (error) {
    // Others may be stopped meanwhile; and beside the phones lies the lock.
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

export async function savePhone(phone: Phone): Promise<void> {
  await writeFileAtomic(join(stateFolder(phone.name), 'state.json'), `${JSON.stringify(phone, null, 2)}\n`);
}

export async function allPhones(): Promise<Phone[]> {
  if (!existsSync(states)) return [];
  const found = await Promise.all((await readdir(states)).map((name) => readPhone(name)));
  return found.filter((phone) => phone !== undefined).sort((a, b) => a.index - b.index);
}

export async function announce(phone: Phone): Promise<void> {
  await mkdir(announced, { recursive: true });
  await writeFileAtomic(join(announced, phone.name), `${serial(phone)} ${adbPort(phone)}\n`);
}

export async function forget(phone: Phone): Promise<void> {
  await rm(join(announced, phone.name), { force: true });
  await rm(stateFolder(phone.name), { recursive: true, force: true });
  await rm(dataImage(phone.name), { force: true });
}

/** Whether somebody listens at this port of 127.0.0.1. */
export async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Takes the smallest free index under a lock. @throws SovereignError `exists` */
export async function register(
  wanted: Omit<Phone, 'index' | 'processes' | 'plugged' | 'updates'>,
): Promise<Phone> {
  await mkdir(states, { recursive: true });
  return withLock(join(states, 'lock'), async () => {
    const phones = await allPhones();
    if (phones.some(({ name }) => name === wanted.name)) {
      throw new SovereignError({
        code: 'exists',
        what: 'this test phone is there already',
        on: wanted.name,
        hint: `Use it, stop it with: phone stop ${wanted.name}, or start one of another name`,
      });
    }
    const taken = new Set(phones.map(({ index }) => index));
    const phone: Phone = { ...wanted, index: 1, plugged: true, updates: 0, processes: {} };
    while (taken.has(phone.index) || (await listens(adbPort(phone)))) phone.index += 1;
    await mkdir(stateFolder(phone.name), { recursive: true });
    await savePhone(phone);
    return phone;
  });
}

export async function findPhone(name: string | undefined): Promise<Phone> {
  const phones = await allPhones();
  const found = name === undefined && phones.length === 1 ? phones[0] : phones.find((p) => p.name === name);
  if (found !== undefined) return found;
  throw new SovereignError({
    code: 'no-phone',
    what:
      name === undefined && phones.length > 0
        ? 'there are several test phones'
        : 'there is no such test phone',
    on: name ?? (phones.map((phone) => phone.name).join(', ') || 'this machine'),
    hint: phones.length === 0 ? 'Start one with: phone start' : 'Name one',
    exit: 4,
  });
}
