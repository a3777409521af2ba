import type { Capabilities } from './capabilities.ts';

/** A setting of Android's that `doctor --fix` changes, and `remove` takes back. */
export interface Fix {
  name: string;
  /** What is set, as a person reads it. */
  what: string;
  needed: (capabilities: Capabilities) => boolean;
}

export const fixes: readonly Fix[] = [];

/**
 * Sets what the fixes named in `$2…` set, as root; `$1` is the device's folder. What stood before goes to
 * `settings.before` there, once.
 */
export const fixScript = '';

/** Takes back what `settings.before` in the folder `$1` tells, and removes that file; where there is none, nothing. */
export const undoScript = '';
