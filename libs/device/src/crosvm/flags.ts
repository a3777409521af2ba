/**
 * Options of `crosvm run` that we use, each with the Android release whose crosvm has it first (platform/external/crosvm
 * by branch: src/main.rs until 13, src/crosvm/cmdline.rs from 14 on). What a phone's crosvm says of itself outranks this
 * table; `crosvm version` says 0.1.0 on every release.
 */
export const flagSince = {
  '--block': 14,
  '--cid': 13,
  '--cpus': 13,
  '--disable-sandbox': 13,
  '--disk': 13,
  '--mem': 13,
  '--name': 15.2,
  '--net': 14,
  '--no-balloon': 13,
  '--no-usb': 13,
  '--params': 13,
  '--rwdisk': 13,
  '--serial': 13,
  '--tap-name': 13,
  '--vsock': 14,
} as const;

export type Flag = keyof typeof flagSince;

/**
 * Options of ours that the crosvm of an Android release knows, for one that does not list them. A quarterly release is
 * written as `15.2`.
 */
export const flagsOf = (release: number): ReadonlySet<string> =>
  new Set(Object.entries(flagSince).flatMap(([flag, since]) => (since <= release ? [flag] : [])));
