import type { Capabilities } from '../adb/capabilities.ts';
import { flagsOf } from '../crosvm/flags.ts';

/** A phone on which everything is there, for tests; `crosvm` lists what that release of Android has. */
export const capabilitiesOf = (release: number, different: Partial<Capabilities> = {}): Capabilities => ({
  androidRelease: String(Math.trunc(release)),
  sdk: Math.trunc(release) + 20,
  platform: `google/oriole/oriole:${Math.trunc(release)}/TEST/1:user/release-keys virt 350000000 crosvm ${'c'.repeat(64)}`,
  model: 'Pixel 6',
  root: 'magisk',
  arch: 'arm64',
  crosvm: {
    path: '/apex/com.android.virt/bin/crosvm',
    sha256: 'c'.repeat(64),
    flags: flagsOf(release),
  },
  hypervisor: '/dev/kvm',
  boot: { unprotected: true, protected: true, version: 'kvm.arm-protected' },
  vhostVsock: true,
  tun: true,
  memory: 7400,
  memoryAvailable: 3900,
  freeSpace: 64_000,
  data: { type: 'f2fs', options: ['rw', 'noatime'] },
  selinux: 'Enforcing',
  phantom: { monitor: 'false', limit: '2147483647', sync: 'persistent' },
  dns: ['192.0.2.53'],
  foreign: [],
  ...different,
});
