import { Resolver } from 'node:dns/promises';
import { execInGuest, type Device } from '@sovereign/device';
import { SovereignError, step, toSovereignError } from '@sovereign/report';
import { settingValues, type ServiceDefinition } from '@sovereign/service';
import type { Check, CheckContext, CheckResult, Database } from './contract.ts';
import { connect, openDatabase, passwordThatWorks, type Connection } from './database.ts';
import { deviceChecks } from './devices.ts';
import { forgejoChecks } from './forgejo.ts';
import { kernelChecks } from './kernel.ts';
import { networkChecks } from './network.ts';
import { openrcServices } from './openrc.ts';
import { postgresqlChecks } from './postgresql.ts';
import { tailnetChecks } from './tailnet.ts';
import { vaultwardenChecks } from './vaultwarden.ts';

export interface RunOptions {
  /** Longest time for the service to stop, and again to become healthy, in seconds. */
  timeout?: number;
  /** Names for the look-up from the guest, in the order to try. */
  lookupNames?: readonly string[];
}

/** Tried after the names of the caller, who knows better ones: a name that is reserved for documentation. */
const DOCUMENTATION_NAME = 'example.com';
/** Seconds for a clean stop. */
const STOP_SECONDS = 60;

/** By the kind of data that a service keeps. */
const ownChecks: Readonly<Record<string, readonly Check[]>> = {
  postgresql: postgresqlChecks,
  vaultwarden: vaultwardenChecks,
  forgejo: forgejoChecks,
};

/** The checks of a service, in the order in which they run; the last may restart it. */
export function checksOf(definition: ServiceDefinition): Check[] {
  return [
    ...kernelChecks(definition.kernel),
    ...deviceChecks,
    openrcServices,
    ...networkChecks,
    ...tailnetChecks,
    ...(ownChecks[definition.data.kind] ?? []),
  ];
}

/** Asks the running service everything that `sovereign test` shows. A check that cannot be asked has failed. */
export async function runChecks(
  device: Device,
  definition: ServiceDefinition,
  options: RunOptions = {},
): Promise<CheckResult[]> {
  const context = await liveContext(device, definition, options);
  const results: CheckResult[] = [];
  for (const check of checksOf(definition)) {
    results.push(
      await step(`check ${check.name}`, async (handle) => {
        const result = await runCheck(check, context);
        handle.detail(`${result.result}: ${result.detail}`);
        return result;
      }),
    );
  }
  return results;
}

/** Runs one check, with its time. */
export async function runCheck(check: Check, context: CheckContext): Promise<CheckResult> {
  const started = performance.now();
  const outcome = await check.run(context).catch((thrown: unknown) => {
    const { what, on } = toSovereignError(thrown);
    return { result: 'fail' as const, detail: on === undefined ? what : `${what} (${on})` };
  });
  return { name: check.name, ...outcome, ms: Math.round(performance.now() - started) };
}

/** What the checks of a run share, on a real device. */
export async function liveContext(
  device: Device,
  definition: ServiceDefinition,
  { timeout = definition.health.deadline, lookupNames = [] }: RunOptions = {},
): Promise<CheckContext> {
  const target = await device.ssh(definition);
  const resolver = new Resolver({ timeout: 3000, tries: 2 });
  return {
    definition,
    guest: { exec: (argv) => execInGuest(target, argv) },
    database: databaseOf(device, definition),
    endpoint: (port) => endpointOf(device, definition, port),
    secrets: (name) => device.secrets.candidates(definition, name),
    async setting(name) {
      return settingValues(definition, await device.settings(definition))[name] ?? '';
    },
    async restart() {
      await device.stop(definition, STOP_SECONDS);
      await device.start(definition);
      await device.waitHealthy(definition, timeout);
    },
    resolve: (name) => resolver.resolve4(name),
    lookupNames: [...lookupNames, DOCUMENTATION_NAME],
  };
}

/** A service's database with its own credentials, over the published port. */
export const databaseOf = (device: Device, definition: ServiceDefinition): Database =>
  openDatabase(() => connection(device, definition));

/** One connection to it, which the caller ends. */
export const connectDatabase = async (device: Device, definition: ServiceDefinition) =>
  connect(await connection(device, definition));

/** Asked anew each time: a restart may change the port. */
async function endpointOf(device: Device, definition: ServiceDefinition, port: string): Promise<URL> {
  const [status] = await device.status([definition]);
  const url = status?.endpoints.find(({ name }) => name === port)?.url;
  if (url !== undefined) return new URL(url);
  throw new SovereignError({
    code: 'no-endpoint',
    what: `the service publishes no port ${port}`,
    on: `${definition.name} on ${device.id}`,
    hint: 'Start it with `sovereign up`',
  });
}

/** Address and password. */
async function connection(device: Device, definition: ServiceDefinition): Promise<Connection> {
  const { href: url } = await endpointOf(device, definition, 'postgres');
  const candidates = await device.secrets.candidates(definition, 'postgres-password');
  return { url, password: await passwordThatWorks(url, candidates) };
}
