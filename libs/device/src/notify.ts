import { SovereignError } from '@sovereign/report';
import { checkAddress } from './address.ts';
import type { DeviceNotify, NotifyKind, Reminder } from './contract.ts';
import type { Host } from './host.ts';
import { readIdentity } from './identity.ts';
import { writeIfChanged } from './write-if-changed.ts';

/** Where the launcher finds who is to be told (docs/formats.md, "Messages"). The address in it is the owner's secret. */
export const NOTIFY_SETTINGS = 'notify/settings';
/** What was told, or was not, under the settings of before. */
const LEFT_OVER = ['notify/told', 'notify/tries', 'notify/failed', 'notify/problem'];

export const notifyKinds = ['ntfy', 'webhook', 'phone'] as const satisfies readonly NotifyKind[];

export class NotifyControl implements DeviceNotify {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  async kind(): Promise<NotifyKind | undefined> {
    const text = (await this.#host.read(NOTIFY_SETTINGS))?.toString() ?? '';
    return notifyKinds.find((kind) => text.includes(`\n${kind} `));
  }

  async set(kind: NotifyKind, address = ''): Promise<'now' | 'next-deploy'> {
    if (kind === 'phone' && this.#host.kind !== 'adb') {
      throw new SovereignError({
        code: 'no-screen',
        what: 'this machine shows no notifications',
        on: this.#host.id,
        hint: 'On a phone: sovereign notify phone -s SERIAL. Here: ntfy or webhook',
        exit: 2,
      });
    }
    const kept = kind === 'phone' ? 'yes' : checkAddress(kind, address, { off: false });
    return this.#host.exclusively(async () => {
      await this.#requireIdentity();
      await this.#host.write(NOTIFY_SETTINGS, await this.#settings(kind, kept), 0o600);
      await this.#forget();
      return kind === 'phone' || (await this.#hasProgram()) ? 'now' : 'next-deploy';
    });
  }

  async off(): Promise<void> {
    await this.#host.exclusively(async () => {
      await this.#host.remove(NOTIFY_SETTINGS);
      await this.#forget();
    });
  }

  async remind(service: string, { from, text }: Reminder): Promise<void> {
    const folder = `services/${service}`;
    if ((await this.#host.read(`${folder}/current`)) === undefined) return;
    await this.#host.exclusively(() =>
      writeIfChanged(this.#host, `${folder}/reminder`, `${Math.floor(from.getTime() / 1000)} ${text}\n`),
    );
  }

  /** A static program finds no name servers on Android: it is given those of the guests. */
  async #settings(kind: NotifyKind, address: string): Promise<string> {
    const { dns } = this.#host.kind === 'adb' ? await this.#host.network() : { dns: [] };
    const title = `Sovereign on ${(await this.#host.name()).replace(/[^\x20-\x7e]+/g, ' ').trim()}`;
    return [
      'schema 1',
      `${kind} ${address}`,
      `title ${title}`,
      ...dns.map((server) => `dns ${server}`),
      '',
    ].join('\n');
  }

  async #forget(): Promise<void> {
    for (const file of LEFT_OVER) await this.#host.remove(file);
  }

  async #hasProgram(): Promise<boolean> {
    return /^gvproxy /m.test((await this.#host.read('device.conf'))?.toString() ?? '');
  }

  async #requireIdentity(): Promise<void> {
    if ((await readIdentity(this.#host)) !== undefined) return;
    throw new SovereignError({
      code: 'not-deployed',
      what: 'nothing was ever deployed to this device: nobody there has anything to tell',
      on: this.#host.id,
      hint: 'Run sovereign up first',
    });
  }
}
