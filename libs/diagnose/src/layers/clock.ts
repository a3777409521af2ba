import { failed, ok, type Layer } from '../contract.ts';
import { setClock } from '../fixes.ts';

/** Seconds by which clocks may differ: certificates and logins bear more, and a question takes its time. */
const TOLERANCE = 90;

/** Device and guest have the time of this workstation. TLS fails in 1970. */
export const clock: Layer = {
  name: 'clock',
  asks: 'the clocks of the device and of the guest, against this workstation',
  async probe(scene) {
    // Each is compared with the moment of its own answer, as near as is known.
    const { clock: device } = await scene.inspection();
    const guest = await scene.guest();
    const now = scene.workstation.clock();
    if (!(Math.abs(device - now) <= TOLERANCE)) {
      return failed(
        `the device's clock says ${time(device)}, this workstation's ${time(now)}`,
        'Set the date of the device (on a phone: Settings, System, Date and time, automatic), or of this workstation',
      );
    }
    if (!(Math.abs(guest.clock - now) <= TOLERANCE)) {
      return failed(
        `the guest's clock says ${time(guest.clock)}, this workstation's ${time(now)}`,
        `Run sovereign diagnose ${scene.definition.name} --fix, which sets it from the device's`,
        setClock,
      );
    }
    return ok(`device ${offset(device - now)}, guest ${offset(guest.clock - now)}`);
  },
};

const time = (seconds: number): string =>
  Number.isFinite(seconds) ? new Date(Math.round(seconds) * 1000).toISOString() : 'nothing';

const offset = (seconds: number): string => `${seconds < 0 ? '-' : '+'}${Math.abs(seconds).toFixed(0)} s`;
