import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Device } from '@sovereign/device';
import { SovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { execa } from 'execa';
import { theService } from '../device.ts';
import { wordOf } from '../services.ts';
import type { Result, Run, Session } from '../session.ts';
import { findProgram } from '../system.ts';

export const connect: Run = async (session) => {
  const service = theService(session);
  const { definition } = service;
  const device = await session.devices.pick();
  const [port] = definition.ports;
  const [state] = await device.status([definition]);
  // Its ports are kept while it is stopped, and nobody listens there.
  const running = state?.state === 'running' || state?.state === 'starting';
  const url = state?.endpoints.find(({ name, via }) => name === port?.name && via === undefined)?.url;
  if (!running || port === undefined || url === undefined) {
    throw new SovereignError({
      code: 'not-running',
      what: 'there is nothing to connect to: the service does not run',
      on: `${wordOf(service)} on ${device.id}`,
      hint: `Start it with ./sovereign up ${wordOf(service)}`,
      exit: 3,
    });
  }
  const secret = definition.secrets.find(({ name }) => name === `${port.user ?? ''}-password`);
  const password = secret === undefined ? undefined : await passwordOf(device, definition, secret.name, url);
  const print = session.flags.json || session.own.print === true;
  if (port.scheme === 'postgresql' && password !== undefined && !print) {
    const psql = await findProgram('psql');
    if (psql !== undefined) return openPsql(psql, url, password, session);
  }
  const full = withPassword(url, password);
  return { json: { device: device.id, service: definition.name, url: full }, text: full };
};

/** While a password is being changed, the one that the service takes. */
async function passwordOf(
  device: Device,
  definition: ServiceDefinition,
  name: string,
  url: string,
): Promise<string> {
  const candidates = await device.secrets.candidates(definition, name);
  if (candidates.length < 2 || !url.startsWith('postgresql:')) return device.secret(definition, name);
  return (await import('@sovereign/checks')).passwordThatWorks(url, candidates);
}

/** psql reads the password from a file that only this user can read: no command line and no environment holds it. */
async function openPsql(
  psql: string,
  url: string,
  password: string,
  { words, signal }: Session,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'sovereign-psql-'));
  const file = join(folder, 'pgpass');
  try {
    await writeFile(file, passLine(url, password), { mode: 0o600 });
    const { exitCode } = await execa(psql, [url, ...words], {
      stdio: 'inherit',
      reject: false,
      env: { PGPASSFILE: file },
      cancelSignal: signal,
    });
    return { json: { status: exitCode }, exit: exitCode === 0 ? 0 : 1 };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** One line of PostgreSQL's password file: https://www.postgresql.org/docs/17/libpq-pgpass.html */
export function passLine(url: string, password: string): string {
  const { hostname, port, username } = new URL(url);
  const escape = (text: string) => text.replace(/[\\:]/g, '\\$&');
  return `${[hostname, port, '*', decodeURIComponent(username), password].map(escape).join(':')}\n`;
}

export function withPassword(url: string, password: string | undefined): string {
  if (password === undefined) return url;
  const full = new URL(url);
  full.password = encodeURIComponent(password);
  return full.href;
}
