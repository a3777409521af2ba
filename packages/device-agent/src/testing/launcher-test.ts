import { test as base } from 'vitest';
import { DeviceFolder, type Shell } from './device-folder.ts';

/** For conditions that come by themselves, on a machine that may have other work; in milliseconds. */
export const PATIENT = { timeout: 30_000 };

/** Tests run side by side here, so each has its own `expect` and cleans up after itself, not after another. */
export const test = base.extend<{ folder: (shell: Shell) => DeviceFolder; service: MakeService }>({
  // eslint-disable-next-line no-empty-pattern -- Vitest reads the names of what is asked for
  folder: async ({}, use) => {
    const made: DeviceFolder[] = [];
    await use((shell) => {
      const device = new DeviceFolder(shell);
      made.push(device);
      return device;
    });
    for (const device of made) await device.remove();
  },
  service: async ({ folder }, use) => {
    await use((shell, behaviour, launch = {}) => {
      const device = folder(shell);
      device.slot('a', behaviour, launch);
      device.write('current', 'a\n');
      return device;
    });
  },
});

/** A service whose slot a is current and behaves in this way. */
type MakeService = (
  shell: Shell,
  behaviour: string | string[],
  launch?: Record<string, string | string[]>,
) => DeviceFolder;
