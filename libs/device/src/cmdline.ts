/**
 * The kernel's command line, the same on every device; the VMM adds where its early console is. `panic=-1` restarts at
 * once, which ends the VM; `loglevel=4` keeps the console to warnings, since each line costs time under emulation.
 */
export const kernelCommandLine = (): string =>
  'root=/dev/vda ro rootfstype=erofs init=/sbin/init console=hvc0 panic=-1 loglevel=4';
