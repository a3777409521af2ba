#define _GNU_SOURCE
#include "probe.h"

#include <glob.h>
#include <stddef.h>
#include <time.h>

/* Drivers of both machines: only one of them is under the kernel now, the other's has to be there as well. */
static const struct {
    const char *name;
    const char *path;
} drivers[] = {
    {"driver.virtio-pci", "/sys/bus/pci/drivers/virtio-pci"},
    {"driver.virtio-blk", "/sys/bus/virtio/drivers/virtio_blk"},
    {"driver.virtio-net", "/sys/bus/virtio/drivers/virtio_net"},
    {"driver.virtio-console", "/sys/bus/virtio/drivers/virtio_console"},
    {"driver.virtio-rng", "/sys/bus/virtio/drivers/virtio_rng"},
    {"driver.virtio-balloon", "/sys/bus/virtio/drivers/virtio_balloon"},
    {"driver.virtio-vsock", "/sys/bus/virtio/drivers/vmw_vsock_virtio_transport"},
    {"driver.pci-host", "/sys/bus/platform/drivers/pci-host-generic"},
    {"driver.pvpanic", "/sys/bus/pci/drivers/pvpanic-pci"},
    {"driver.rtc.pl030", "/sys/bus/amba/drivers/rtc-pl030"},
    {"driver.rtc.pl031", "/sys/bus/amba/drivers/rtc-pl031"},
    {"driver.uart.8250", "/sys/bus/platform/drivers/of_serial"},
    {"driver.uart.pl011", "/sys/bus/amba/drivers/uart-pl011"},
};

void check_devices(void)
{
    glob_t found;
    for (size_t index = 0; index < sizeof drivers / sizeof *drivers; index++)
        check(drivers[index].name, exists(drivers[index].path), "no such driver");
    check("device.pvpanic", glob("/sys/bus/pci/drivers/pvpanic-pci/0000:*", 0, NULL, &found) == 0,
          "its driver has no device");
    check("device.stall-detector.absent", !exists("/sys/bus/platform/drivers/vcpu_stall_detector"),
          "it would reset a guest whose host sleeps");
    check("device.rtc", file_has("/sys/class/rtc/rtc0/hctosys", "1"), "it did not set the clock");
    /* 2026-01-01: the clock comes from the host, not from the kernel's build. */
    check("device.clock", time(NULL) > 1767225600, "the clock is wrong");
    check("device.console", exists("/dev/hvc0") && exists("/dev/hvc1"), "no hvc0 and hvc1");
    check("device.uart", exists("/dev/ttyAMA0") && exists("/dev/ttyS0"), "no ttyAMA0 and ttyS0");
    check("device.random", file_has("/sys/class/misc/hw_random/rng_current", "virtio"), "not virtio");
    check("modules.absent", !exists("/proc/modules"), "this kernel could load modules");
}
