import type { RootFlavour } from './capabilities.ts';

/** Where Magisk, KernelSU and APatch look for what to run late in a boot, before the first unlock. */
const SERVICE_D = '/data/adb/service.d';

/** Path of the boot hook, undefined where the root flavour runs none. */
export function hookPath(root: RootFlavour): string | undefined {
  return ['magisk', 'kernelsu', 'apatch'].includes(root) ? `${SERVICE_D}/sovereign.sh` : undefined;
}

/**
 * The boot hook: it starts the launcher that is current, with the phone's own shell, or where that one does not start
 * the one under which a guest was healthy last. It does nothing once Sovereign was removed. Pure.
 */
export const bootHook = (root: string): string => `#!/system/bin/sh
# Sovereign: starts this phone's services. "sovereign remove" of the last one takes this file away.
root=${root}
for chosen in current good; do
  [ -f "$root/agent/$chosen" ] || continue
  read -r agent <"$root/agent/$chosen"
  launcher=$root/agent/$agent/launch.sh
  [ -f "$launcher" ] || continue
  /system/bin/sh "$launcher" boot "$root" && exit
done
`;
