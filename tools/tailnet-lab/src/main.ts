import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SovereignError, step, toSovereignError } from '@sovereign/report';
import { workspaceRoot } from '@sovereign/store';
import { ask, hold } from './holder.ts';
import { Lab } from './lab.ts';
import { nats, rooms, sites } from './topology.ts';

const USAGE = `usage: lab COMMAND

  start                   the rooms, the control server, and the laptop logged in
  stop                    takes everything away
  shell ROOM [COMMAND…]   a shell in ${rooms.join(', ')};
                          at home, ./sovereign has settings and data of the lab alone
  key [--reusable] [--tag TAG]   prints a key that logs a node in
  nat ${Object.keys(sites).join('|')} ${nats.join('|')}
                          what a router does to UDP
  uplink home|mobile      the way that the home takes
  nodes                   what the control server knows`;

const START_SECONDS = 900;

function oneOf<T extends string>(what: string, allowed: readonly T[], value: string | undefined): T {
  const found = allowed.find((one) => one === value);
  if (found !== undefined) return found;
  throw new SovereignError({
    code: 'usage',
    what: `${what} is one of ${allowed.join(', ')}`,
    on: value ?? 'nothing',
    exit: 2,
  });
}

async function running(): Promise<Lab> {
  const state = await ask('state');
  if (state !== undefined) return Lab.of(state);
  throw new SovereignError({
    code: 'no-lab',
    what: 'no lab runs',
    on: 'this machine',
    hint: 'Start one with: lab start',
    exit: 4,
  });
}

async function start(): Promise<void> {
  if ((await ask('state')) === undefined) await spawnHolder();
  const { server } = await running();
  print(`control server ${server.url}, its CA ${server.ca}`);
}

async function spawnHolder(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'sovereign-lab-log-'));
  const log = join(folder, 'log');
  const output = openSync(log, 'a');
  const holder = spawn(process.execPath, [import.meta.filename, 'hold'], {
    detached: true,
    stdio: ['ignore', output, output],
    cwd: '/',
  });
  holder.unref();
  try {
    await step('start the lab (its control server takes minutes to compile, once)', async () => {
      const end = performance.now() + START_SECONDS * 1000;
      while ((await ask('state')) === undefined) {
        if (performance.now() > end || holder.exitCode !== null) {
          throw new SovereignError({
            code: 'lab-failed',
            what: 'the lab does not start',
            on: 'this machine',
            hint: readFileSync(log, 'utf8').trim().split('\n').slice(-10).join('\n'),
          });
        }
        await sleep(200);
      }
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function shell(room: string | undefined, command: string[]): Promise<void> {
  const lab = await running();
  const name = oneOf('ROOM', rooms, room);
  const argv = command.length === 0 ? [process.env.SHELL ?? '/bin/sh'] : command;
  const [file, args] = lab.rooms.enter(name, argv, workspaceRoot());
  const env = { ...process.env, PS1: `${name} $ `, ...(name === 'home' ? lab.homeEnv : {}) };
  const child = spawn(file, args, { stdio: 'inherit', env });
  process.exitCode = await new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function run(command: string | undefined, rest: string[]): Promise<void> {
  switch (command) {
    case 'start':
      return start();
    case 'hold':
      return hold();
    case 'stop': {
      if ((await ask('stop')) === undefined) return;
      while ((await ask('state')) !== undefined) await sleep(100);
      return;
    }
    case 'shell':
      return shell(rest[0], rest.slice(1));
    case 'key': {
      const { values } = parseArgs({
        args: rest,
        options: { reusable: { type: 'boolean', default: false }, tag: { type: 'string', multiple: true } },
      });
      print(await (await running()).server.key({ reusable: values.reusable, tags: values.tag ?? [] }));
      return;
    }
    case 'nat': {
      const site = oneOf('SITE', Object.keys(sites) as (keyof typeof sites)[], rest[0]);
      return (await running()).nat(site, oneOf('NAT', nats, rest[1]));
    }
    case 'uplink':
      return (await running()).uplink(oneOf('UPLINK', ['home', 'mobile'], rest[0]));
    case 'nodes':
      print(await (await running()).server.headscale('nodes', 'list'));
      return;
    case '--help':
      print(USAGE);
      return;
    default:
      throw new SovereignError({
        code: 'usage',
        what: 'there is no such command',
        on: command ?? 'nothing',
        hint: USAGE,
        exit: 2,
      });
  }
}

const [command, ...rest] = process.argv.slice(2);
try {
  await run(command, rest);
} catch (error) {
  const { what, on, hint, exit } = toSovereignError(error);
  process.stderr.write(`error: ${what}\n   on: ${on ?? ''}\n${hint === undefined ? '' : ` next: ${hint}\n`}`);
  process.exitCode = exit;
}
