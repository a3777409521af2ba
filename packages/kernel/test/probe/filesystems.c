#define _GNU_SOURCE
#include "probe.h"

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static void check_overlay(void)
{
    mkdir("/tmp/upper", 0755);
    mkdir("/tmp/work", 0755);
    mkdir("/tmp/merged", 0755);
    bool mounted = mount("overlay", "/tmp/merged", "overlay", 0,
                         "lowerdir=/sbin,upperdir=/tmp/upper,workdir=/tmp/work") == 0;
    check("fs.overlay", mounted, NULL);
    int file = open("/tmp/merged/written", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    check("fs.overlay.write", file >= 0 && exists("/tmp/upper/written"), NULL);
}

/* The targets that the device mapper knows, as `dmsetup targets` lists them. */
static bool has_target(const char *name)
{
    static char answer[16384];
    struct dm_ioctl *request = (struct dm_ioctl *)answer;
    memset(answer, 0, sizeof answer);
    request->version[0] = DM_VERSION_MAJOR;
    request->data_size = sizeof answer;
    request->data_start = sizeof *request;
    int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
    bool found = false;
    if (control >= 0 && ioctl(control, DM_LIST_VERSIONS, request) == 0) {
        struct dm_target_versions *target = (struct dm_target_versions *)(answer + request->data_start);
        while (!found) {
            found = strcmp(target->name, name) == 0;
            if (target->next == 0)
                break;
            target = (struct dm_target_versions *)((char *)target + target->next);
        }
    }
    close(control);
    return found;
}

void check_filesystems(void)
{
    check("fs.root.erofs", file_has("/proc/mounts", " / erofs ro"), "the root is not a read-only EROFS");
    check("fs.ext4", file_has("/proc/filesystems", "ext4"), "not known");
    check("fs.devtmpfs", file_has("/proc/mounts", " /dev devtmpfs "), "not mounted by the kernel");
    check("fs.tmpfs.xattr", setxattr("/tmp", "user.probe", "1", 1, 0) == 0, NULL);
    check_overlay();
    check("fs.loop", exists("/dev/loop-control"), "no /dev/loop-control");
    check("dm.verity", has_target("verity"), "no such target");
    check("dm.crypt", has_target("crypt"), "no such target");
    check("crypto.aes", file_has("/proc/crypto", "xts-aes-ce") || file_has("/proc/crypto", "xts(aes)"),
          "no XTS");
}
