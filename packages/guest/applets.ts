/**
 * Programs that BusyBox stands in for where no package brings the real one; Debian's package carries the program
 * and no links. The names are what `busybox --list` of the locked package prints, without installers, editors of
 * partitions and daemons that a guest never runs; a test on a running guest compares them.
 */
const system =
  'arp arping blkid blockdev fdisk findfs freeramdisk fsfreeze fstrim halt hwclock ifconfig init ' +
  'killall klogd losetup mkswap nologin pivot_root poweroff reboot route start-stop-daemon sulogin swapoff ' +
  'swapon switch_root sysctl syslogd udhcpc';
const user =
  '[ [[ ash awk base64 basename bc bunzip2 bzcat bzip2 cal cat chgrp chmod chown chroot clear cmp cp cpio crc32 ' +
  'cut date dc dd df diff dirname dmesg du echo ed egrep env expand expr factor fallocate false fgrep find ' +
  'fold free getopt grep groups gunzip gzip head hexdump hostid hostname id ionice ipcalc kill killall last less ' +
  'link ln logger login logname ls lzcat md5sum microcom mkdir mkfifo mknod mktemp more mount mv nc netstat nice ' +
  'nl nohup nproc nsenter nslookup od paste patch pidof ping ping6 printf ps pwd readlink realpath renice reset ' +
  'resize rev rm rmdir sed seq setpriv setsid sh sha1sum sha256sum sha3sum sha512sum shred shuf sleep sort stat ' +
  'strings stty su sync tac tail tar taskset tee telnet test tftp time timeout top touch tr traceroute traceroute6 ' +
  'true truncate ts tty umount uname unexpand uniq unlink unlzma unshare unxz unzip uptime usleep uudecode ' +
  'uuencode vi w watch wc wget which who whoami xargs xxd xz xzcat yes zcat';

const links = (folder: string, names: string, target: string) =>
  names.split(' ').map((name): [string, string] => [`${folder}/${name}`, target]);

/** Links by path without a leading slash; a path that a package brings keeps what the package brings. */
export const busyboxLinks: Readonly<Record<string, string>> = Object.fromEntries([
  ...links('usr/sbin', system.replace(' killall ', ' '), '../bin/busybox'),
  ...links('usr/bin', user, 'busybox'),
]);
