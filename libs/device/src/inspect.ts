import { SovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { lastLine, runAgent } from './agent.ts';
import { parseAgentStatus, type AgentStatus } from './device-report.ts';
import type { Host } from './host.ts';

/** What a look for the cause of a fault asks of a device. */
export interface Inspector {
  /** What is known of a service without asking its guest, in one round trip. Changes nothing. */
  inspect(service: ServiceDefinition): Promise<Inspection>;

  /**
   * Asks the guest over its control channel, which needs no network (docs/formats.md, "Questions").
   * @returns the lines of its answer
   * @throws SovereignError `no-answer` where none comes
   */
  askGuest(service: ServiceDefinition, words: readonly string[]): Promise<string[]>;

  /** Starts the network that the guests of this device share once more; what is open through it ends. */
  renewNetwork(): Promise<void>;
}

export interface Inspection {
  /** What the launcher says of the service, by key; undefined where it was never deployed. */
  service: AgentStatus | undefined;
  /** What it says of the device itself. */
  device: AgentStatus;
  /** The last lines of what the guest's kernel and init said since power-on; the oldest first. */
  console: string[];
  /** The last lines of what the VMM said. */
  vmm: string[];
  /** Of the device, in seconds since 1970. */
  clock: number;
}

const TIMEOUT = 30_000;
/** Seconds that a guest has to answer: its own looks end within half a minute. */
const ANSWER_SECONDS = 60;

/** Each begins a part of the answer. */
const CONSOLE = '= console';
const VMM = '= vmm';

/** What the kernel says before its console works counts as long as that one is empty. */
const INSPECTION = `
root=$1 log=$1/services/$2/log
echo "- clock $(date +%s)"
if [ -f "$root/agent/current" ]; then
  read -r agent <"$root/agent/current"
  sh "$root/agent/$agent/launch.sh" status "$root" || exit 1
fi
echo '${CONSOLE}'
for file in "$log/console.log" "$log/early.log"; do
  if [ -s "$file" ]; then tail -n 40 "$file"; break; fi
done
echo '${VMM}'
[ ! -s "$log/vmm.log" ] || tail -n 5 "$log/vmm.log"
`;

export class HostInspector implements Inspector {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  async inspect({ name }: ServiceDefinition): Promise<Inspection> {
    const { status, stdout, stderr } = await this.#host.sh(INSPECTION, [this.#host.root, name], {
      timeout: TIMEOUT,
      readOnly: true,
    });
    if (status !== 0) {
      throw new SovereignError({
        code: 'no-status',
        what: `the launcher does not tell its state: ${stderr.trim()}`,
        on: this.#host.id,
        hint: `Look into ${this.#host.root}, then run deploy again`,
      });
    }
    return parseInspection(stdout, name);
  }

  async askGuest({ name }: ServiceDefinition, words: readonly string[]): Promise<string[]> {
    const { status, stdout, stderr } = await runAgent(
      this.#host,
      'ask',
      [name, String(ANSWER_SECONDS), ...words],
      (ANSWER_SECONDS + 10) * 1000,
    );
    if (status === 0) return stdout.split('\n').filter((line) => line !== '');
    // A launcher from before there were questions prints how it is used.
    const old = status === 2 && stderr.includes('usage:');
    throw new SovereignError({
      code: 'no-answer',
      what: old ? 'the launcher on this device is too old to ask the guest' : lastLine(stderr),
      on: `${name} on ${this.#host.id}`,
      hint: old
        ? `Run sovereign deploy ${name} and sovereign restart ${name}`
        : `Run sovereign diagnose ${name}`,
      exit: 3,
    });
  }

  async renewNetwork(): Promise<void> {
    const { status, stderr } = await runAgent(this.#host, 'network', [], TIMEOUT);
    if (status === 0) return;
    throw new SovereignError({
      code: 'no-network',
      what: lastLine(stderr),
      on: this.#host.id,
      hint: 'Run sovereign doctor',
    });
  }
}

/** Pure. */
export function parseInspection(text: string, service: string): Inspection {
  const [status = '', console = '', vmm = ''] = text.split(new RegExp(`^(?:${CONSOLE}|${VMM})$`, 'm'));
  const agent = parseAgentStatus(status);
  const device = agent.get('-') ?? {};
  return {
    service: agent.get(service),
    device,
    console: lines(console),
    vmm: lines(vmm),
    clock: Number(device.clock),
  };
}

const lines = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
