/**
 * The kernel's command line, the same on every device. `panic=-1` restarts at once, which ends the VM; `loglevel=4`
 * keeps the console to warnings, since each line costs time under emulation.
 */
export function kernelCommandLine(): string {
  return [
    'root=/dev/vda ro rootfstype=erofs init=/sbin/init',
    'console=hvc0 earlycon=pl011,0x9000000',
    'panic=-1 loglevel=4',
  ].join(' ');
}
