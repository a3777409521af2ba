import { SovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { configPath, editConfigDisk } from '../config-disk.ts';
import type { DeviceTailnet, SshTarget } from '../contract.ts';
import { askAgent } from '../device-report.ts';
import { deviceSettings } from '../device-settings.ts';
import type { Host } from '../host.ts';
import { readIdentity } from '../identity.ts';
import { execInGuest, type ExecResult } from '../ssh.ts';
import { changeTailnet, requireFits, type TailnetChange } from './change.ts';
import { forLife, KEY_ON_DISK, wantsTailnet } from './guest.ts';
import { isLabel, isOn, type TailnetSettings } from './settings.ts';
import { parseTailnet, type TailnetStatus } from './state.ts';
import { keepHostname, recordLogout, recordNodes } from './store.ts';
import { settledTailnet } from './settled.ts';

/** The script of the guest (docs/formats.md, "Tailnet"). */
const SCRIPT = '/usr/lib/sovereign/tailnet';
/** What one verb of it may take, in milliseconds; `login` waits for a control server. */
const VERB_TIMEOUT = 90_000;

type Service = ServiceDefinition;

/** The nodes of one device's services. */
export class TailnetControl implements DeviceTailnet {
  readonly #host: Host;
  readonly #ssh: (service: Service) => Promise<SshTarget>;

  constructor(host: Host, ssh: (service: Service) => Promise<SshTarget>) {
    this.#host = host;
    this.#ssh = ssh;
  }

  async settings(): Promise<TailnetSettings | undefined> {
    const { tailnet } = await deviceSettings((await readIdentity(this.#host))?.id);
    return isOn(tailnet) ? tailnet : undefined;
  }

  async check(change: TailnetChange): Promise<void> {
    changeTailnet(await settledTailnet(this.#host, (await readIdentity(this.#host))?.id), change);
  }

  async login(
    service: Service,
    { key, again = false }: { key?: string | undefined; again?: boolean } = {},
  ): Promise<{ url: string } | undefined> {
    const { tailnet } = await this.#require(service);
    if (key !== undefined) requireFits(key, tailnet);
    const words = ['login', ...(again ? ['again'] : []), ...(key === undefined ? [] : ['-'])];
    const { status, stdout, stderr } = await this.#ask(
      service,
      words,
      key === undefined ? undefined : forLife(key),
    );
    const lines = stdout.trim().split('\n');
    const url = lines
      .map((line) => /^url (https?:\/\/\S+)$/.exec(line)?.[1])
      .find((found) => found !== undefined);
    if (url !== undefined) return { url };
    if (status === 0 && lines.includes('running')) return undefined;
    const refused = lines
      .map((line) => /^refused ?(.*)$/.exec(line)?.[1])
      .find((found) => found !== undefined);
    throw refused === undefined
      ? this.#failed(service, 'tailnet-login-failed', 'the guest got no login', stderr || stdout)
      : new SovereignError({
          code: 'tailnet-refused',
          what: `the control server refused the login${refused === '' ? '' : `: ${refused}`}`,
          on: `${service.name} on ${this.#host.id}`,
          hint: 'Make another auth key; a key is used up after one node unless it is a reusable one',
        });
  }

  async logout(service: Service): Promise<void> {
    const { status, stdout, stderr } = await this.#ask(service, ['logout']);
    if (status !== 0) {
      throw this.#failed(service, 'tailnet-logout-failed', 'the guest did not log out', stderr || stdout);
    }
    // Else the next start would log it in again.
    await this.#editDisk(service.name, (files) => files.delete(KEY_ON_DISK));
    const identity = await readIdentity(this.#host);
    if (identity === undefined) return;
    await recordLogout(identity.id, service.name);
  }

  async rename(service: Service, hostname: string): Promise<void> {
    if (!isLabel(hostname)) {
      throw new SovereignError({
        code: 'usage',
        what: 'this is no host name',
        on: hostname,
        hint: 'Wanted: at most 63 of a-z, 0-9 and -',
        exit: 2,
      });
    }
    const { deviceId } = await this.#require(service);
    await keepHostname(deviceId, service.name, hostname);
    await this.#editDisk(service.name, (files) => {
      const conf = files.get('guest.conf') ?? '';
      files.set('guest.conf', conf.replace(/^tailnet-hostname .*$/m, `tailnet-hostname ${hostname}`));
    });
    const { status, stdout, stderr } = await this.#ask(service, ['rename', hostname]);
    if (status === 0) return;
    throw this.#failed(service, 'tailnet-rename-failed', 'the node has its old name', stderr || stdout);
  }

  async settle(services: readonly Service[]): Promise<void> {
    const identity = await readIdentity(this.#host);
    if (identity === undefined) return;
    const agent = await askAgent(this.#host);
    const seen = new Map<string, TailnetStatus>();
    for (const { name } of services) {
      const told = agent.get(name)?.tailnet;
      if (told !== undefined) seen.set(name, parseTailnet(told));
    }
    if (seen.size === 0) return;
    await recordNodes(identity.id, seen);
    for (const [name, { state }] of seen) {
      if (state === 'running') await this.#editDisk(name, (files) => files.delete(KEY_ON_DISK));
    }
  }

  /** Changes a config disk; the machine that runs has the old one until it starts again. */
  async #editDisk(service: string, edit: (files: Map<string, string>) => void): Promise<void> {
    const path = configPath(service);
    const before = await this.#host.read(path);
    if (before === undefined) return;
    const after = await editConfigDisk(before, service, edit);
    if (!after.equals(before)) await this.#host.write(path, after, 0o600);
  }

  async #ask(service: Service, words: readonly string[], input?: string): Promise<ExecResult> {
    const target = await this.#ssh(service);
    const signal = AbortSignal.timeout(VERB_TIMEOUT);
    try {
      return await execInGuest(target, [SCRIPT, ...words], {
        ...(input === undefined ? {} : { input: `${input}\n` }),
        signal,
      });
    } catch (thrown) {
      if (!signal.aborted) throw thrown;
      const said = `no answer within ${VERB_TIMEOUT / 1000} s`;
      throw this.#failed(service, 'tailnet-silent', 'the guest did not do it', said);
    }
  }

  async #require(service: Service): Promise<{ deviceId: string; tailnet: TailnetSettings }> {
    const identity = await readIdentity(this.#host);
    const { tailnet } = await deviceSettings(identity?.id);
    if (identity !== undefined && isOn(tailnet) && wantsTailnet(service)) {
      return { deviceId: identity.id, tailnet };
    }
    throw new SovereignError({
      code: 'tailnet-off',
      what: wantsTailnet(service)
        ? 'the tailnet is not switched on for this device'
        : 'this service has no port that the tailnet may reach',
      on: `${service.name} on ${this.#host.id}`,
      hint: wantsTailnet(service)
        ? `Switch it on: sovereign up ${service.name} --tailnet`
        : 'Give one of its ports a tailnet number in its definition',
    });
  }

  #failed(service: Service, code: string, what: string, said: string): SovereignError {
    const why = said.trim();
    return new SovereignError({
      code,
      what: why === '' ? what : `${what}: ${why}`,
      on: `${service.name} on ${this.#host.id}`,
      hint: `sovereign tailnet status ${service.name} tells its state, sovereign logs ${service.name} more`,
    });
  }
}
