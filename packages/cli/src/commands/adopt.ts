import { confirm } from '../ask.ts';
import { announce } from '../device.ts';
import type { Run } from '../session.ts';

export const adopt: Run = async (session) => {
  const device = await session.devices.pick();
  const what = `take over the passwords and host keys of ${device.id}`;
  if (session.flags.dryRun === true) return { json: { plan: [what] }, text: what };
  announce(device);
  await confirm(session, what, 'adopt');
  const services = await device.adopt();
  return {
    json: { device: device.id, adopted: services },
    text:
      services.length === 0
        ? `nothing to take over: this workstation knows ${device.id} already`
        : `taken over from ${device.id}: ${services.join(', ')}; the next deploy lets this workstation's own SSH key in`,
  };
};
