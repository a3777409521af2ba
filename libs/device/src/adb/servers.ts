import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { note, SovereignError, toSovereignError } from '@sovereign/report';
import { execa } from 'execa';
import { findProgram } from '../local/find-qemu.ts';
import { answers, client } from './client.ts';
import type { AdbServer } from './smart-socket.ts';

/** Where adb listens unless ANDROID_ADB_SERVER_PORT names another port. */
const DEFAULT_PORT = 5037;
/** A file each test phone that runs: its serial and the port of its own adb server (tools/virtual-phone). */
const ANNOUNCED = '/run/sovereign/virtual-phones';

/** A phone, as an adb server lists it. */
export interface Attached {
  serial: string;
  /** adb's word: `device`, `offline`, `unauthorized`… */
  state: string;
  server: AdbServer;
}

export interface PhoneSearch {
  env?: NodeJS.ProcessEnv;
  /** Folder in which test phones are announced. */
  announced?: string;
  /** Starts adb's own server where it does not run. */
  start?: boolean;
}

/** Every phone that is attached to this machine, in whatever state; the environment's adb server first. */
export async function attachedPhones({
  env = process.env,
  announced = ANNOUNCED,
  start = false,
}: PhoneSearch = {}): Promise<Attached[]> {
  const own = { port: serverPort(env) };
  if (start && !(await answers(own))) await startServer(own, env);
  const servers = [own, ...announcedServers(announced)].filter(
    ({ port }, index, all) => all.findIndex((other) => other.port === port) === index,
  );
  const lists = await Promise.all(servers.map(listPhones));
  const phones = lists.flat();
  // The same phone by network in two servers: the first one serves.
  return phones.filter(({ serial }, index) => phones.findIndex((other) => other.serial === serial) === index);
}

/** @throws SovereignError `bad-port` for a variable that is none */
function serverPort(env: NodeJS.ProcessEnv): number {
  const text = env.ANDROID_ADB_SERVER_PORT;
  if (text === undefined || text === '') return DEFAULT_PORT;
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new SovereignError({
    code: 'bad-port',
    what: 'this is no port number',
    on: `ANDROID_ADB_SERVER_PORT=${text}`,
    exit: 2,
  });
}

function announcedServers(folder: string): AdbServer[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((name) => {
    // A phone that stops meanwhile takes its file along.
    const [, port] = /^\S+ (\d+)$/.exec(tryRead(join(folder, name)).trim()) ?? [];
    return port === undefined ? [] : [{ port: Number(port) }];
  });
}

function tryRead(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** A server that does not run has no phones. */
async function listPhones(server: AdbServer): Promise<Attached[]> {
  if (!(await answers(server))) return [];
  try {
    const devices = await client(server).listDevices();
    return devices.map(({ id, type }) => ({ serial: id, state: type, server }));
  } catch (thrown) {
    note(`the adb server on port ${server.port} does not list its phones: ${toSovereignError(thrown).what}`);
    return [];
  }
}

/** @throws SovereignError `no-adb` where adb is not installed, `no-adb-server` where it does not start */
async function startServer({ port }: AdbServer, env: NodeJS.ProcessEnv): Promise<void> {
  const adb = await findProgram('adb', env.PATH ?? '');
  if (adb === undefined) {
    throw new SovereignError({
      code: 'no-adb',
      what: 'adb is not installed',
      on: 'this machine',
      hint: 'Install it (Debian: apt-get install adb), or let sovereign doctor --fix do it',
      exit: 4,
    });
  }
  const { failed } = await execa(adb, ['-P', String(port), 'start-server'], {
    reject: false,
    stdin: 'ignore',
    env,
    timeout: 30_000,
    // The server lives on and would keep a pipe of ours open.
    stdout: 'ignore',
    stderr: 'ignore',
  });
  if (!failed) return;
  throw new SovereignError({
    code: 'no-adb-server',
    what: 'adb does not start its server',
    on: `port ${port}`,
    hint: 'Run adb start-server to see why',
    exit: 4,
  });
}
