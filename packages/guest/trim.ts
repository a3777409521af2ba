import type { Base } from '@sovereign/service';
import type { TrimRule } from '@sovereign/rootfs';

const rule = (reason: string, ...globs: string[]): TrimRule[] => globs.map((glob) => ({ glob, reason }));

/** What a server's rules of iptables are made of; its other plug-ins are for routers and bridges. */
const iptablesPlugIns = [
  ...['standard', 'tcp', 'udp', 'comment', 'conntrack', 'state', 'multiport', 'mark', 'MARK', 'addrtype'],
  ...['limit', 'iprange', 'owner', 'LOG', 'TCPMSS', 'NAT', 'DNAT', 'SNAT', 'MASQUERADE', 'REDIRECT'],
].map((name) => `libxt_${name}`);

/** What no guest uses, on any base. */
const common = [
  ...rule('documentation', 'usr/share/{doc,doc-base,man,info,gtk-doc,help}'),
  ...rule('translations; the guest speaks C.UTF-8', 'usr/share/locale', 'usr/share/i18n'),
  ...rule('completion for interactive shells that are not there', 'usr/share/{bash-completion,zsh,fish}'),
  ...rule('the desktop', 'usr/share/{pixmaps,icons,applications,metainfo}'),
  ...rule(
    'for compiling against the libraries',
    'usr/include',
    'usr/lib/**/*.a',
    'usr/{lib,share}/**/pkgconfig',
  ),
  // The guest brings all its services itself: those of a distribution ask for each other and for what is not there.
  ...rule(
    'services of the distribution',
    'etc/init.d',
    'etc/runlevels',
    'etc/conf.d',
    'etc/rc*.d',
    'etc/rc.conf',
  ),
  ...rule(
    'services of init systems that are not there',
    'usr/lib/systemd',
    'etc/systemd',
    'usr/lib/tmpfiles.d',
  ),
  ...rule('no device manager, no initramfs, no cron, no log rotation in the guest', 'usr/lib/udev'),
  ...rule(
    'no device manager, no initramfs, no cron, no log rotation in the guest',
    'usr/share/initramfs-tools',
  ),
  ...rule(
    'no device manager, no initramfs, no cron, no log rotation in the guest',
    'etc/cron.*',
    'etc/logrotate.d',
  ),
  ...rule(
    'the guest has a layout of its own for state, and its own accounts',
    'var',
    'etc/default',
    'etc/skel',
  ),
  ...rule(
    'one service a machine has no limits to set, and every start of a service would look',
    'usr/{lib,libexec}/rc/sh/rc-cgroup.sh',
  ),
  ...rule('only a running name service would read it', 'etc/resolv.conf', 'etc/hosts', 'etc/hostname'),
  // Programs and plug-ins: what only they link against is named by base, since there are other users of it elsewhere.
  ...rule(
    'makes what the image has ready',
    'usr/sbin/{iconvconfig,ldconfig,locale-gen,update-ca-certificates,zic}',
    'usr/bin/{localedef,ldd,pldd,tzselect,zdump,getconf}',
  ),
  ...rule('scrubs LVM volumes through systemd', 'usr/sbin/e2scrub*', 'usr/libexec/e2fsprogs'),
  ...rule('BusyBox is PID 1', 'usr/sbin/openrc-init'),
  ...rule(
    'moves data between major versions on a workstation',
    'usr/{lib/postgresql/*/bin,libexec/postgresql*}/pg_upgrade',
  ),
  ...rule(
    'tests a disk, or tells how to compile extensions',
    'usr/{lib/postgresql/*/bin,libexec/postgresql*}/{pg_config,pg_test_fsync,pg_test_timing}',
  ),
  ...rule(
    'the retired extension xml2',
    'usr/lib/{postgresql/*/lib,postgresql*}/pgxml.so',
    'usr/share/{postgresql/*,postgresql*}/extension/xml2{--*.sql,.control}',
  ),
  ...rule(
    'shapes traffic, sets up switches, counts packets; the guest calls ip alone',
    'usr/sbin/{bridge,dcb,devlink,genl,rtacct,rtmon,tc,tipc,vdpa}',
    'usr/{bin,sbin}/{ctstat,lnstat,nstat,rdma,routel,rtstat,ss}',
    'usr/lib/{*/,}tc',
  ),
  ...rule(
    'iptables and ip6tables are here, over nftables, for who thinks in their words: not the legacy ones, no bridges',
    'usr/sbin/{arp,eb}tables*',
    'usr/sbin/{ip,ip6}tables-{apply,legacy*,translate,restore-translate}',
    'usr/sbin/{nfnl_osf,xtables-legacy-multi,xtables-monitor}',
    'usr/{bin,sbin}/iptables-xml',
    'usr/share/{iptables,xtables}',
    `usr/lib/{*/,}xtables/!(${iptablesPlugIns.join('|')}|libip*t_icmp*|libip*t_REJECT).so`,
  ),
  ...rule(
    'repairs of a file system by hand; the guest makes, checks and grows one',
    'usr/sbin/{badblocks,debugfs,e2freefrag,e2image,e2mmpstatus,e2undo,e4crypt,e4defrag,filefrag,mklost+found}',
  ),
  ...rule('how a client gets tickets of Kerberos, and ciphers in hardware', 'usr/lib/{*/,}{krb5,engines-3}'),
  ...rule('for debuggers', 'usr/share/{gcc,gdb}'),
];

/** Per base, what its packages bring beyond that. */
export const trimRules: Record<Base, readonly TrimRule[]> = {
  alpine: [
    ...common,
    ...rule(
      'the package manager is not there; its database is read when the bill of materials is made',
      'usr/lib/apk',
      'etc/{apk,apko.json}',
      'usr/share/apk',
    ),
    ...rule('the composer writes accounts from the definition', 'etc/{passwd,group,shadow}'),
    ...rule('settings of programs that are not used', 'etc/{network,udhcpc,udhcpd.conf,busybox-paths.d}'),
    ...rule('settings of programs that are not used', 'etc/{securetty,motd,issue,inittab,crontabs,periodic}'),
    ...rule('settings of programs that are not used', 'etc/{modprobe.d,modules,modules-load.d,sysctl.*}'),
    ...rule('the service has its settings from the overlay', 'etc/postgresql*'),
    ...rule('translations; the guest speaks C.UTF-8', 'usr/share/postgresql*/locale'),
    ...rule(
      'input of the JIT compiler, which is off',
      'usr/lib/postgresql*/bitcode',
      'usr/lib/postgresql*/llvmjit*',
    ),
  ],
  debian: [
    ...common,
    // Alpine has it in a package of its own, for who asks for it.
    ...rule('nobody logs in from the guest to elsewhere', 'usr/bin/dbclient'),
    ...rule('checks of Debian packaging', 'usr/share/{lintian,bug}'),
    ...rule(
      'settings and helpers of install scripts',
      'usr/share/{debconf,ucf,pam-configs,insserv,libgcrypt20}',
    ),
    ...rule(
      'settings of programs that are left out',
      'etc/{apt,perl,insserv,insserv.conf*,pam.d,security,selinux}',
    ),
    ...rule(
      'settings of programs that are left out',
      'etc/{ucf.conf,xattr.conf,libaudit.conf,netconfig,e2scrub.conf}',
    ),
    ...rule(
      'settings of programs that are left out',
      'etc/{bindresvport.blacklist,ca-certificates,nftables.conf}',
    ),
    ...rule(
      'plug-ins of programs that are left out',
      'usr/lib/aarch64-linux-gnu/{security,perl*,ossl-modules}',
    ),
    ...rule('plug-ins of programs that are left out', 'usr/lib/{mime,sasl2,lsb}', 'usr/libexec/initscripts'),
    ...rule(
      'character sets that the C library converts; PostgreSQL has its own conversions',
      'usr/lib/*/gconv',
    ),
    ...rule(
      'character sets that the C library converts; PostgreSQL has its own conversions',
      'usr/bin/iconv',
    ),
    ...rule('the only user of Berkeley DB', 'usr/sbin/arpd'),
    ...rule('BusyBox is PID 1', 'usr/lib/init'),
    ...rule('parts of ICU that no program here links against', 'usr/lib/*/libicu{io,test,tu}.so.*'),
    ...rule(
      'traces allocations of other programs',
      'usr/lib/*/{libmemusage.so,libpcprofile.so,libc_malloc_debug.so.0}',
    ),
    ...rule('distributed name services', 'usr/lib/*/libnss_{hesiod,compat}.so.2'),
    ...rule('input of the JIT compiler, which is off', 'usr/lib/postgresql/*/lib/{bitcode,llvmjit*}'),
    ...rule('for compiling extensions', 'usr/lib/postgresql/*/lib/pgxs', 'usr/share/postgresql/*/man'),
    ...rule(
      'what the retired extension xml2, the cgroups of tc and ss and legacy iptables alone link against',
      'usr/lib/*/lib{xslt,exslt,gcrypt,gpg-error}.so.*',
      'usr/lib/*/lib{nsl,tirpc}.so.*',
      'usr/lib/*/lib{ip4tc,ip6tc,netfilter_conntrack,nfnetlink}.so.*',
    ),
    ...rule('what debugfs alone links against', 'usr/lib/*/libss.so.*'),
    ...rule(
      'libraries that no program here is linked against',
      'usr/lib/*/lib{BrokenLocale,anl,dl,mvec,pthread,rt,thread_db,util}.so.*',
      'usr/lib/*/lib{drop_ambient,history,pamc,psx,tic}.so.*',
    ),
  ],
};
