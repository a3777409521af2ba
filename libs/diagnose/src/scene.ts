import type { Database } from '@sovereign/checks';
import type { Device, Inspection } from '@sovereign/device';
import type { ServiceDefinition } from '@sovereign/service';
import { parseGuestView, type GuestView } from './guest-view.ts';
import { findOutside, type Outside, type Target, type Workstation } from './outside.ts';

interface Parts {
  device: Device;
  definition: ServiceDefinition;
  database: Database;
  workstation: Workstation;
  /** In the order to try. Asked for when a guest is to be looked at. */
  targets: () => Promise<readonly Target[]>;
  /** Milliseconds before a guest that does not answer is asked again. */
  pause?: number;
}

const PAUSE = 5000;

/** One service on one device, and what is known of it: the device and the guest are each asked once. */
export class Scene {
  readonly device: Device;
  readonly definition: ServiceDefinition;
  readonly database: Database;
  readonly workstation: Workstation;
  readonly pause: number;
  readonly #targets: Parts['targets'];
  #inspection: Promise<Inspection> | undefined;
  #guest: Promise<GuestView> | undefined;
  #outside: Promise<Outside | undefined> | undefined;

  constructor({ device, definition, database, workstation, targets, pause = PAUSE }: Parts) {
    this.pause = pause;
    this.device = device;
    this.definition = definition;
    this.database = database;
    this.workstation = workstation;
    this.#targets = targets;
  }

  inspection(): Promise<Inspection> {
    return (this.#inspection ??= this.device.inspector.inspect(this.definition));
  }

  outside(): Promise<Outside | undefined> {
    return (this.#outside ??= this.#targets().then((targets) => findOutside(this.workstation, targets)));
  }

  guest(): Promise<GuestView> {
    return (this.#guest ??= this.#look());
  }

  async #look(): Promise<GuestView> {
    const outside = await this.outside();
    const words =
      outside === undefined ? [] : [outside.host, outside.address ?? outside.host, String(outside.port)];
    return parseGuestView(await this.device.inspector.askGuest(this.definition, ['look', ...words]));
  }

  /** After something was changed: everything is asked anew. */
  forget(): void {
    this.#inspection = undefined;
    this.#guest = undefined;
  }
}
