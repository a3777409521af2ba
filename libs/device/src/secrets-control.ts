import { note, SovereignError, toSovereignError } from '@sovereign/report';
import type { ServiceDefinition } from '@sovereign/service';
import { applySettings, refreshConfigDisk, type GuestAccess } from './apply-settings.ts';
import { configPath } from './config-disk.ts';
import type { Applied, DeviceSecrets, RotateReport, SecretState } from './contract.ts';
import type { Host } from './host.ts';
import { readIdentity } from './identity.ts';
import { changeSecrets, checkSecret, knownSecrets, makeSecret, settleSecrets } from './secrets.ts';

/**
 * Changes secrets of services that may be running (docs/decisions/0016-rotation.md). The order is: the new value and
 * the mark that the guest may have the old one, in one write; the config disk; the guest; the mark goes. Whatever is
 * cut is finished by the next change, deploy or start, since each of them looks for the mark.
 */
export class SecretsControl implements DeviceSecrets {
  readonly #host: Host;
  readonly #guest: GuestAccess;
  /** What the config disk held when a start of ours began, by service. */
  readonly #startedWith = new Map<string, Record<string, string>>();

  constructor(host: Host, guest: GuestAccess) {
    this.#host = host;
    this.#guest = guest;
  }

  async list({ name: service, secrets }: ServiceDefinition): Promise<SecretState[]> {
    const deviceId = (await readIdentity(this.#host))?.id;
    const { values, pending } =
      deviceId === undefined ? { values: {}, pending: {} } : await knownSecrets(deviceId, service);
    const known: Record<string, string> = values;
    return secrets.map(({ name, make, description }) => {
      const there = make === 'owner' ? 'set' : 'made';
      return {
        name,
        description,
        state: known[name] === undefined ? 'missing' : there,
        pending: name in pending,
      };
    });
  }

  async candidates(service: ServiceDefinition, name: string): Promise<string[]> {
    requireSecret(service, name);
    const { values, pending } = await knownSecrets(await this.#deviceId(service), service.name);
    const value = values[name];
    return [...(value === undefined ? [] : [value]), ...(pending[name] ?? [])];
  }

  async set(service: ServiceDefinition, name: string, value: string): Promise<Applied> {
    const kept = checkSecret(requireSecret(service, name), value);
    const deviceId = await this.#deviceId(service);
    return this.#host.exclusively(async () => {
      await changeSecrets(deviceId, service.name, { [name]: kept }, await this.#guestOf(service));
      return this.#apply(deviceId, service);
    });
  }

  async rotate(service: ServiceDefinition, name?: string): Promise<RotateReport> {
    const wanted = service.secrets.filter((secret) =>
      name === undefined ? secret.make !== 'owner' : secret === requireSecret(service, name),
    );
    const deviceId = await this.#deviceId(service);
    return this.#host.exclusively(async () => {
      const { pending } = await knownSecrets(deviceId, service.name);
      const finished = wanted.filter((secret) => secret.name in pending);
      const fresh = wanted.filter((secret) => !(secret.name in pending));
      const values = fresh.map((secret) => [secret.name, makeSecret(service.name, secret)] as const);
      await changeSecrets(deviceId, service.name, Object.fromEntries(values), await this.#guestOf(service));
      const names = (list: typeof wanted) => list.map((secret) => secret.name);
      return {
        rotated: names(fresh),
        finished: names(finished),
        applied: await this.#apply(deviceId, service),
      };
    });
  }

  /** Before a machine is started, under the device's lock: it gets what a change that was cut left undone. */
  async beforeStart(service: ServiceDefinition): Promise<void> {
    const begun = await this.#begun(service);
    if (begun === undefined) return;
    await refreshConfigDisk(this.#host, begun.deviceId, service);
    this.#startedWith.set(service.name, begun.values);
  }

  /** Once a service is healthy: every secret of its config disk is in use since its start. */
  async whenHealthy(service: ServiceDefinition): Promise<void> {
    const started = this.#startedWith.get(service.name);
    this.#startedWith.delete(service.name);
    const begun = await this.#begun(service);
    if (begun === undefined) return;
    if (started !== undefined) await settleSecrets(begun.deviceId, service.name, started);
    await this.finish(service);
  }

  /**
   * Finishes a change that was cut; what stays undone is said, and is no failure of whoever asked for another thing.
   * @param deviceId where it is known already
   * @param guest without `restart` a guest that cannot take it stays as it is
   */
  async finish(
    service: ServiceDefinition,
    { deviceId, guest = this.#guest }: { deviceId?: string; guest?: GuestAccess } = {},
  ): Promise<void> {
    const begun = await this.#begun(service, deviceId);
    if (begun === undefined) return;
    try {
      await this.#host.exclusively(() => this.#apply(begun.deviceId, service, guest));
    } catch (thrown) {
      said(thrown);
    }
  }

  /** A change that was begun and not done; what cannot be read is said, and keeps no service from its start. */
  async #begun(
    { name }: ServiceDefinition,
    known?: string,
  ): Promise<{ deviceId: string; values: Record<string, string> } | undefined> {
    const deviceId = known ?? (await readIdentity(this.#host))?.id;
    if (deviceId === undefined) return undefined;
    try {
      const { values, pending } = await knownSecrets(deviceId, name);
      return Object.keys(pending).length === 0 ? undefined : { deviceId, values };
    } catch (thrown) {
      said(thrown);
      return undefined;
    }
  }

  async #apply(deviceId: string, service: ServiceDefinition, guest = this.#guest): Promise<Applied> {
    try {
      // Taken before, so that a mark of a later change stays.
      const { values } = await knownSecrets(deviceId, service.name);
      const applied = await applySettings(this.#host, deviceId, service, guest);
      if (applied !== 'next-start') await settleSecrets(deviceId, service.name, values);
      return applied;
    } catch (thrown) {
      const { what, on, exit } = toSovereignError(thrown);
      throw new SovereignError({
        code: 'change-pending',
        what: `the new secret is kept, and ${service.name} has not taken it yet: ${what}`,
        on: on ?? `${service.name} on ${this.#host.id}`,
        hint: `Nothing is lost: sovereign secrets rotate ${service.name} or sovereign restart ${service.name} finishes it`,
        exit,
        cause: thrown,
      });
    }
  }

  /** Without a config disk no guest ever had a value that is to be replaced. */
  async #guestOf({ name }: ServiceDefinition): Promise<{ guest: boolean }> {
    return { guest: (await this.#host.digests([configPath(name)])).size > 0 };
  }

  async #deviceId({ name }: ServiceDefinition): Promise<string> {
    const identity = await readIdentity(this.#host);
    if (identity !== undefined) return identity.id;
    throw new SovereignError({
      code: 'not-deployed',
      what: 'nothing was ever deployed to this device: it has no secrets yet',
      on: this.#host.id,
      hint: `Run sovereign up ${name}`,
    });
  }
}

function said(thrown: unknown): void {
  const { what, hint } = toSovereignError(thrown);
  note(`${what}${hint === undefined ? '' : ` (${hint})`}`);
}

/** @throws SovereignError `no-such-secret` with exit 2 */
export function requireSecret(
  { name: service, secrets }: ServiceDefinition,
  name: string,
): ServiceDefinition['secrets'][number] {
  const found = secrets.find((secret) => secret.name === name);
  if (found !== undefined) return found;
  const known = secrets.map((secret) => secret.name).join(', ');
  throw new SovereignError({
    code: 'no-such-secret',
    what: `${service} has no secret ${name}`,
    on: service,
    hint: known === '' ? 'It has none' : `It has: ${known}`,
    exit: 2,
  });
}
