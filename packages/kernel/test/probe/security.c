#define _GNU_SOURCE
#include "probe.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void check_security(void)
{
    unsigned int action = SECCOMP_RET_ERRNO;
    check("security.seccomp", syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0, NULL);
    mkdir("/tmp/cgroup", 0755);
    check("cgroup.mount", mount("cgroup2", "/tmp/cgroup", "cgroup2", 0, NULL) == 0, NULL);
    const char *controllers = "/tmp/cgroup/cgroup.controllers";
    check("cgroup.cpu", file_has(controllers, "cpu"), "no such controller");
    check("cgroup.memory", file_has(controllers, "memory"), "no such controller");
    check("cgroup.pids", file_has(controllers, "pids"), "no such controller");
    check("memory.huge-pages", file_has("/proc/meminfo", "HugePages_Total"), "none");
    check("memory.memfd", memfd_create("probe", 0) >= 0, NULL);
    check("panic.on-oops", file_has("/proc/sys/kernel/panic_on_oops", "1"), "a broken kernel would run on");
}
