/**
 * Asks a phone for everything that {@link parseProbe} reads, in one round trip; `$1` is the device's folder. Run as root
 * where that can be had, else as shell.
 */
export const probeScript = '';
