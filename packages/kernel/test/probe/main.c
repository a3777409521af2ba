#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

void check(const char *name, bool ok, const char *detail)
{
    if (ok)
        printf("check %s pass\n", name);
    else
        printf("check %s fail %s\n", name, detail ? detail : strerror(errno));
}

bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_has(const char *path, const char *text)
{
    char line[4096];
    bool found = false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while (!found && fgets(line, sizeof line, file))
        found = strstr(line, text) != NULL;
    fclose(file);
    return found;
}

/* The running kernel's own configuration goes out over the second console, as the bytes of /proc/config.gz. */
static void send_config(void)
{
    char buffer[4096];
    struct termios raw;
    ssize_t count = -1;
    int in = open("/proc/config.gz", O_RDONLY | O_CLOEXEC);
    int out = open("/dev/hvc1", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    bool ok = in >= 0 && out >= 0 && tcgetattr(out, &raw) == 0;
    if (ok) {
        cfmakeraw(&raw);
        ok = tcsetattr(out, TCSANOW, &raw) == 0;
    }
    while (ok && (count = read(in, buffer, sizeof buffer)) > 0)
        for (ssize_t done = 0; ok && done < count;) {
            ssize_t written = write(out, buffer + done, (size_t)(count - done));
            ok = written > 0;
            done += written;
        }
    check("config.sent", ok && count == 0 && tcdrain(out) == 0, NULL);
}

/* A warning of the kernel during its start is a fault of the configuration, whatever else works. */
static void check_log(void)
{
    static char log[1 << 20];
    int size = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, log, sizeof log - 1);
    bool clean = size > 0;
    if (clean) {
        log[size] = 0;
        clean = !strstr(log, "WARNING:") && !strstr(log, "BUG:") && !strstr(log, "Call trace");
    }
    check("log.clean", clean, size > 0 ? "a warning in the kernel log" : NULL);
}

int main(void)
{
    struct timespec up;
    setvbuf(stdout, NULL, _IOLBF, 0);
    clock_gettime(CLOCK_BOOTTIME, &up);
    /* devtmpfs is there already: the kernel mounts it. */
    check("mount.proc", mount("proc", "/proc", "proc", 0, NULL) == 0, NULL);
    check("mount.sysfs", mount("sysfs", "/sys", "sysfs", 0, NULL) == 0, NULL);
    check("mount.tmpfs", mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0, NULL);
    printf("uptime %lld.%03ld\n", (long long)up.tv_sec, up.tv_nsec / 1000000);
    send_config();
    check_ipc();
    check_network();
    check_netfilter();
    check_devices();
    check_filesystems();
    check_security();
    check_log();
    printf("finished\n");
    fflush(stdout);
    tcdrain(STDOUT_FILENO);
    reboot(RB_POWER_OFF);
    return 1;
}
