#define _GNU_SOURCE
#include "probe.h"

/* Before linux/vm_sockets.h, which uses its types. */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void check_tun(void)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    check("net.tun.open", tun >= 0, NULL);
    check("net.tun.interface", ioctl(tun, TUNSETIFF, &request) == 0, NULL);
    /* Tailscale hands over and takes many packets at once, of TCP and of UDP. */
    unsigned int bundles = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6;
    check("net.tun.offload", ioctl(tun, TUNSETOFFLOAD, bundles) == 0, NULL);
}

static void check_vsock(void)
{
    unsigned int cid = 0;
    int vsock = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = 1024};
    check("net.vsock.socket", vsock >= 0, NULL);
    check("net.vsock.listen",
          bind(vsock, (struct sockaddr *)&address, sizeof address) == 0 && listen(vsock, 1) == 0, NULL);
    int device = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
    check("net.vsock.device", device >= 0 && ioctl(device, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) == 0, NULL);
}

/* `ip rule add fwmark 0x80000 lookup 52`, the form that Tailscale routes by. */
static bool add_rule(unsigned char family)
{
    struct {
        struct nlmsghdr header;
        struct fib_rule_hdr rule;
        struct nlattr mark_header;
        unsigned int mark;
        struct nlattr table_header;
        unsigned int table;
    } request = {
        .header = {.nlmsg_len = sizeof request,
                   .nlmsg_type = RTM_NEWRULE,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK},
        .rule = {.family = family, .action = FR_ACT_TO_TBL},
        .mark_header = {.nla_len = 8, .nla_type = FRA_FWMARK},
        .mark = 0x80000,
        .table_header = {.nla_len = 8, .nla_type = FRA_TABLE},
        .table = 52,
    };
    char answer[512];
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (netlink < 0 || send(netlink, &request, sizeof request, 0) < 0)
        return false;
    ssize_t size = recv(netlink, answer, sizeof answer, 0);
    close(netlink);
    struct nlmsghdr *header = (struct nlmsghdr *)answer;
    if (size < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || header->nlmsg_type != NLMSG_ERROR)
        return false;
    errno = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
    return errno == 0;
}

void check_network(void)
{
    check_tun();
    check_vsock();
    check("net.rule.ipv4", add_rule(AF_INET), NULL);
    check("net.rule.ipv6", add_rule(AF_INET6), NULL);
    check("net.packet", socket(AF_PACKET, SOCK_RAW, 0) >= 0, NULL);
    check("net.interface", exists("/sys/class/net/eth0"), "no eth0");
}
