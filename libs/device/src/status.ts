import { SovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { runAgent } from './agent.ts';
import type { Endpoint, ServiceState, ServiceStatus } from './contract.ts';
import type { Host } from './host.ts';
import { readPorts, type ServicePorts } from './ports.ts';

/** What the launcher says of one service: key to value, as `launch.sh status` prints them. */
export type AgentStatus = Readonly<Record<string, string>>;

const STATUS_TIMEOUT = 30_000;

/** Asks the launcher for all services in one call. A device without a launcher has none. */
export async function askAgent(host: Host): Promise<Map<string, AgentStatus>> {
  if ((await host.read('agent/current')) === undefined) return new Map();
  const { status, stdout, stderr } = await runAgent(host, 'status', [], STATUS_TIMEOUT);
  if (status !== 0) {
    throw new SovereignError({
      code: 'no-status',
      what: `the launcher does not tell its state: ${stderr.trim()}`,
      on: host.id,
      hint: `Look into ${host.root}, then run deploy again`,
    });
  }
  return parseAgentStatus(stdout);
}

/** Parses `SERVICE KEY VALUE` lines, the value being the rest of the line. */
export function parseAgentStatus(text: string): Map<string, AgentStatus> {
  const services = new Map<string, Record<string, string>>();
  for (const line of text.split('\n')) {
    const [, service, key, value] = /^(\S+) (\S+) (.*)$/.exec(line) ?? [];
    if (service === undefined || key === undefined || value === undefined) continue;
    const known = services.get(service) ?? {};
    known[key] = value;
    services.set(service, known);
  }
  return services;
}

const states: readonly ServiceState[] = ['stopped', 'starting', 'running', 'stopping', 'failed', 'unknown'];

/** The status of these services; one that was never deployed is stopped and has no release. */
export async function serviceStatus(
  host: Host,
  definitions: readonly ServiceDefinition[],
): Promise<ServiceStatus[]> {
  const [agent, ports] = await Promise.all([askAgent(host), readPorts(host)]);
  return Promise.all(
    definitions.map(async (definition) =>
      toStatus(
        definition,
        agent.get(definition.name),
        await forwarded(host, ports.services[definition.name]),
      ),
    ),
  );
}

export async function forwarded(host: Host, ports: ServicePorts = {}): Promise<ServicePorts> {
  const entries = Object.entries(ports).map(
    async ([name, port]) => [name, await host.forward(port)] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}

/** Pure. */
export function toStatus(
  definition: ServiceDefinition,
  agent: AgentStatus | undefined,
  ports: ServicePorts,
): ServiceStatus {
  const seen = agent ?? {};
  const state = states.find((known) => known === seen.state) ?? (agent === undefined ? 'stopped' : 'unknown');
  const slot = seen.slot === 'a' || seen.slot === 'b' ? seen.slot : null;
  const attention = seen.attention;
  return {
    name: definition.name,
    state,
    healthy: health(seen.health),
    release: seen.release ?? null,
    slot,
    trial: seen.trial === 'yes',
    pid: seen.pid === undefined ? null : Number(seen.pid),
    since: seen.since === undefined ? null : new Date(Number(seen.since) * 1000).toISOString(),
    restarts: Number(seen.restarts ?? 0),
    endpoints: endpoints(definition, ports),
    ...(attention === undefined ? {} : { attention }),
  };
}

/** Only a report of the guest makes a service healthy or not; `starting` and silence are neither. */
function health(report: string | undefined): boolean | null {
  if (report === 'ok') return true;
  return report?.startsWith('bad ') === true ? false : null;
}

function endpoints({ ports: declared }: ServiceDefinition, ports: ServicePorts): Endpoint[] {
  return declared.flatMap(({ name, scheme, user, path }) => {
    const port = ports[name];
    if (port === undefined) return [];
    const who = user === undefined ? '' : `${user}@`;
    return [{ name, url: `${scheme}://${who}127.0.0.1:${port}${path ?? (scheme === 'http' ? '/' : '')}` }];
  });
}
