#define _GNU_SOURCE
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A batch of nf_tables messages, written by hand so that no library is needed (net/netfilter/nfnetlink.c,
 * net/netfilter/nf_tables_api.c): begin, the messages, end. Either all of it is done or nothing.
 */
static char batch[8192];
static size_t used;

static struct nlmsghdr *message(unsigned short type, unsigned short flags, unsigned char family)
{
    struct nlmsghdr *header = (struct nlmsghdr *)(batch + used);
    struct nfgenmsg *body = NLMSG_DATA(header);
    header->nlmsg_len = NLMSG_LENGTH(sizeof *body);
    header->nlmsg_type = type;
    header->nlmsg_flags = NLM_F_REQUEST | flags;
    body->nfgen_family = family;
    return header;
}

static struct nlmsghdr *table_message(unsigned short type)
{
    return message((NFNL_SUBSYS_NFTABLES << 8) | type, NLM_F_CREATE | NLM_F_ACK, NFPROTO_INET);
}

static void batch_mark(unsigned short type)
{
    struct nlmsghdr *header = message(type, 0, AF_UNSPEC);
    ((struct nfgenmsg *)NLMSG_DATA(header))->res_id = htons(NFNL_SUBSYS_NFTABLES);
    used += NLMSG_ALIGN(header->nlmsg_len);
}

static struct nlattr *put(struct nlmsghdr *header, unsigned short type, const void *data, size_t size)
{
    struct nlattr *attribute = (struct nlattr *)((char *)header + NLMSG_ALIGN(header->nlmsg_len));
    attribute->nla_type = type;
    attribute->nla_len = (unsigned short)(NLA_HDRLEN + size);
    if (size > 0)
        memcpy((char *)attribute + NLA_HDRLEN, data, size);
    header->nlmsg_len = NLMSG_ALIGN(header->nlmsg_len) + NLA_ALIGN(attribute->nla_len);
    return attribute;
}

static void put_text(struct nlmsghdr *header, unsigned short type, const char *text)
{
    put(header, type, text, strlen(text) + 1);
}

static void put_number(struct nlmsghdr *header, unsigned short type, unsigned int number)
{
    number = htonl(number);
    put(header, type, &number, sizeof number);
}

static struct nlattr *nest(struct nlmsghdr *header, unsigned short type)
{
    return put(header, type | NLA_F_NESTED, NULL, 0);
}

static void end_nest(struct nlmsghdr *header, struct nlattr *start)
{
    start->nla_len = (unsigned short)((char *)header + header->nlmsg_len - (char *)start);
}

static void add_table(void)
{
    struct nlmsghdr *header = table_message(NFT_MSG_NEWTABLE);
    put_text(header, NFTA_TABLE_NAME, "probe");
    used += NLMSG_ALIGN(header->nlmsg_len);
}

static void add_chain(const char *name, const char *type, unsigned int hook)
{
    struct nlmsghdr *header = table_message(NFT_MSG_NEWCHAIN);
    put_text(header, NFTA_CHAIN_TABLE, "probe");
    put_text(header, NFTA_CHAIN_NAME, name);
    put_text(header, NFTA_CHAIN_TYPE, type);
    struct nlattr *where = nest(header, NFTA_CHAIN_HOOK);
    put_number(header, NFTA_HOOK_HOOKNUM, hook);
    put_number(header, NFTA_HOOK_PRIORITY, 0);
    end_nest(header, where);
    used += NLMSG_ALIGN(header->nlmsg_len);
}

typedef void (*expression_data)(struct nlmsghdr *header);

static void add_rule(const char *chain, const char *expression, expression_data data)
{
    struct nlmsghdr *header = table_message(NFT_MSG_NEWRULE);
    header->nlmsg_flags |= NLM_F_APPEND;
    put_text(header, NFTA_RULE_TABLE, "probe");
    put_text(header, NFTA_RULE_CHAIN, chain);
    struct nlattr *list = nest(header, NFTA_RULE_EXPRESSIONS);
    struct nlattr *element = nest(header, NFTA_LIST_ELEM);
    put_text(header, NFTA_EXPR_NAME, expression);
    if (data) {
        struct nlattr *inner = nest(header, NFTA_EXPR_DATA);
        data(header);
        end_nest(header, inner);
    }
    end_nest(header, element);
    end_nest(header, list);
    used += NLMSG_ALIGN(header->nlmsg_len);
}

static void ct_state(struct nlmsghdr *header)
{
    put_number(header, NFTA_CT_DREG, NFT_REG_1);
    put_number(header, NFTA_CT_KEY, NFT_CT_STATE);
}

static void reject_inet(struct nlmsghdr *header)
{
    unsigned char code = NFT_REJECT_ICMPX_ADMIN_PROHIBITED;
    put_number(header, NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
    put(header, NFTA_REJECT_ICMP_CODE, &code, sizeof code);
}

static void log_prefix(struct nlmsghdr *header)
{
    put_text(header, NFTA_LOG_PREFIX, "probe");
}

static void limit_rate(struct nlmsghdr *header)
{
    unsigned int per_second[2] = {0, htonl(10)};
    unsigned int second[2] = {0, htonl(1)};
    put(header, NFTA_LIMIT_RATE, per_second, sizeof per_second);
    put(header, NFTA_LIMIT_UNIT, second, sizeof second);
}

static void fib_type(struct nlmsghdr *header)
{
    put_number(header, NFTA_FIB_DREG, NFT_REG_1);
    put_number(header, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    put_number(header, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
}

/* Sends the batch and reads one answer a message; the first error is left in errno. */
static bool send_batch(int messages)
{
    char answer[16384];
    struct timeval patience = {.tv_sec = 5};
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    bool ok = netlink >= 0 && send(netlink, batch, used, 0) == (ssize_t)used;
    setsockopt(netlink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while (ok && messages > 0) {
        ssize_t left = recv(netlink, answer, sizeof answer, 0);
        ok = left > 0;
        struct nlmsghdr *header = (struct nlmsghdr *)answer;
        for (; ok && NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_type != NLMSG_ERROR)
                continue;
            errno = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
            ok = errno == 0;
            messages--;
        }
    }
    close(netlink);
    return ok;
}

static void check_rule(const char *name, const char *chain, const char *type, unsigned int hook,
                       const char *expression, expression_data data)
{
    used = 0;
    memset(batch, 0, sizeof batch);
    batch_mark(NFNL_MSG_BATCH_BEGIN);
    add_table();
    add_chain(chain, type, hook);
    add_rule(chain, expression, data);
    batch_mark(NFNL_MSG_BATCH_END);
    check(name, send_batch(3), NULL);
}

/* The old interface of iptables: each table answers with its size once it is there. */
static void check_iptables(const char *table)
{
    char name[64];
    struct ipt_getinfo four = {0};
    struct ip6t_getinfo six = {0};
    socklen_t size = sizeof four;
    snprintf(four.name, sizeof four.name, "%s", table);
    snprintf(six.name, sizeof six.name, "%s", table);
    int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    snprintf(name, sizeof name, "iptables.ipv4.%s", table);
    check(name, getsockopt(raw, IPPROTO_IP, IPT_SO_GET_INFO, &four, &size) == 0, NULL);
    close(raw);
    raw = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    size = sizeof six;
    snprintf(name, sizeof name, "iptables.ipv6.%s", table);
    check(name, getsockopt(raw, IPPROTO_IPV6, IP6T_SO_GET_INFO, &six, &size) == 0, NULL);
    close(raw);
}

void check_netfilter(void)
{
    check_rule("nft.counter", "in", "filter", NF_INET_LOCAL_IN, "counter", NULL);
    check_rule("nft.ct", "in", "filter", NF_INET_LOCAL_IN, "ct", ct_state);
    check_rule("nft.log", "in", "filter", NF_INET_LOCAL_IN, "log", log_prefix);
    check_rule("nft.limit", "in", "filter", NF_INET_LOCAL_IN, "limit", limit_rate);
    check_rule("nft.reject", "in", "filter", NF_INET_LOCAL_IN, "reject", reject_inet);
    check_rule("nft.fib", "pre", "filter", NF_INET_PRE_ROUTING, "fib", fib_type);
    check_rule("nft.masquerade", "post", "nat", NF_INET_POST_ROUTING, "masq", NULL);
    check_rule("nft.redirect", "pre-nat", "nat", NF_INET_PRE_ROUTING, "redir", NULL);
    const char *tables[] = {"filter", "nat", "mangle", "raw"};
    for (size_t index = 0; index < sizeof tables / sizeof *tables; index++)
        check_iptables(tables[index]);
    const char *targets = "/proc/net/ip_tables_targets";
    check("iptables.masquerade", file_has(targets, "MASQUERADE"), "no such target");
    check("iptables.mark", file_has(targets, "MARK"), "no such target");
    check("iptables.tcpmss", file_has(targets, "TCPMSS"), "no such target");
    check("iptables.conntrack", file_has("/proc/net/ip_tables_matches", "conntrack"), "no such match");
}
