# Stand-in for Android's init, netd and framework: brings the phone up, in their order.
# shellcheck shell=sh disable=SC2015
export PATH=/product/bin:/apex/com.android.runtime/bin:/apex/com.android.art/bin:/system_ext/bin:/system/bin:/system/xbin:/odm/bin:/vendor/bin:/vendor/xbin
export ANDROID_ROOT=/system ANDROID_DATA=/data ANDROID_STORAGE=/storage HOME=/ TMPDIR=/data/local/tmp

# conf: KEY VALUE lines, written by the workstation at each start.
conf() {
  sed -n "s/^$1 //p" /dev/.phone/conf
}

log() {
  echo "$(date +%H:%M:%S) $*" >>/dev/.phone/log
}

property() {
  printf '%s\n' "$2" >"/dev/__properties__/$1"
}

properties() {
  sed -n 's/^property //p' /dev/.phone/conf | while read -r name value; do
    property "$name" "$value"
  done
  [ -d /data/property ] || mkdir /data/property
  for file in /data/property/*; do
    [ ! -f "$file" ] || cp "$file" /dev/__properties__/
  done
}

folders() {
  mkdir -p /data/local/tmp /data/adb /data/misc/net /data/user /data/data /data/media/0 /data/.phone
  chmod 771 /data /data/local
  chown 2000:2000 /data/local/tmp
  chmod 771 /data/local/tmp
  chmod 700 /data/adb
  case $(conf root) in
    magisk) mkdir -p /data/adb/magisk /data/adb/post-fs-data.d /data/adb/service.d ;;
    kernelsu)
      mkdir -p /data/adb/ksu/bin /data/adb/post-fs-data.d /data/adb/post-mount.d /data/adb/service.d \
        /data/adb/boot-completed.d
      ;;
    apatch) mkdir -p /data/adb/ap/bin /data/adb/post-fs-data.d /data/adb/service.d ;;
  esac
  # Credential-encrypted storage is not there before the first unlock.
  for folder in user data media; do
    mount -t tmpfs -o ro,mode=000 locked "/data/$folder"
  done
}

# What netd leaves behind at boot (its RouteController.h and iptables chains).
netd() {
  echo 0 >/proc/sys/net/ipv4/ip_forward
  # `main` and `default` are not looked at on a phone.
  ip rule del priority 32766
  ip rule del priority 32767
  # For adbd alone, which has USB on a real phone: its own answers find the workstation.
  ip rule add priority 1 sport 5555 ipproto 6 iif lo lookup main
  ip rule add priority 10000 fwmark 0xc0000/0xd0000 lookup 99
  ip rule add priority 16000 fwmark 0x10063/0x1ffff iif lo lookup 97
  ip rule add priority 20000 fwmark 0x0/0x10000 lookup 97
  ip rule add priority 32000 unreachable
  iptables -w -N oem_fwd
  iptables -w -N fw_FORWARD
  iptables -w -N bw_FORWARD
  iptables -w -N tetherctrl_FORWARD
  iptables -w -A tetherctrl_FORWARD -j DROP
  for chain in oem_fwd fw_FORWARD bw_FORWARD tetherctrl_FORWARD; do
    iptables -w -A FORWARD -j "$chain"
  done
  iptables -w -N fw_INPUT
  iptables -w -N bw_INPUT
  iptables -w -A INPUT -j bw_INPUT
  iptables -w -A INPUT -j fw_INPUT
  iptables -w -N fw_OUTPUT
  iptables -w -N bw_OUTPUT
  iptables -w -A OUTPUT -j fw_OUTPUT
  iptables -w -A OUTPUT -j bw_OUTPUT
  iptables -w -t nat -N oem_nat_pre
  iptables -w -t nat -A PREROUTING -j oem_nat_pre
  iptables -w -t nat -N tetherctrl_nat_POSTROUTING
  iptables -w -t nat -A POSTROUTING -j tetherctrl_nat_POSTROUTING
  iptables -w -t mangle -N tetherctrl_mangle_FORWARD
  iptables -w -t mangle -A FORWARD -j tetherctrl_mangle_FORWARD
}

adb_interface() {
  ip addr add "$(conf adb-address)" dev adb0
  ip link set adb0 up
}

# join GROUP: moves the calling process to a cgroup of this name.
join() {
  [ -f /sys/fs/cgroup/cgroup.procs ] || return 0
  mkdir -p "/sys/fs/cgroup/$1"
  echo 0 >"/sys/fs/cgroup/$1/cgroup.procs"
}

# Debian's adbd, as Android runs it: as the user shell with its groups, in a cgroup that init kills as a whole.
adbd() {
  while true; do
    (
      join uid_0/pid_adbd
      ADBD_PORT=5555 exec /.phone/bin/setpriv --reuid 2000 --regid 2000 \
        --groups 1004,1007,1011,1015,1028,3001,3002,3003,3006,3009,3011 -- /.phone/bin/adbd >>/dev/.phone/adbd.log 2>&1
    )
    sleep 1
  done
}

# hooks FOLDER: a root flavour's scripts, one after the other; only those that may be executed.
hooks() {
  for script in /data/adb/"$1"/*; do
    if [ -f "$script" ] && [ -x "$script" ]; then
      log "hook $script"
      case $2 in
        blocking) timeout 40 sh "$script" </dev/null >/dev/null 2>&1 ;;
        *) setsid sh "$script" </dev/null >/dev/null 2>&1 & ;;
      esac
    fi
  done
}

# Stand-in for the kernel's wake locks: what was written to wake_unlock leaves wake_lock.
wake_locks() {
  while sleep 1; do
    [ -s /sys/power/wake_unlock ] || continue
    gone=$(cat /sys/power/wake_unlock)
    : >/sys/power/wake_unlock
    left=$(grep -vxF "$gone" /sys/power/wake_lock)
    printf '%s' "${left:+$left
}" >/sys/power/wake_lock
  done
}

log begin
properties
folders
adb_interface
netd 2>>/dev/.phone/log
adbd &
hooks post-fs-data.d blocking
[ "$(conf root)" != kernelsu ] || hooks post-mount.d blocking
hooks service.d aside
[ ! -f /sys/power/wake_lock ] || wake_locks &
# The framework takes its time, and the network comes up with it.
sleep "$(conf boot-seconds)"
sh /.phone/bin/uplink.sh "$(conf uplink)" 2>>/dev/.phone/log
property sys.boot_completed 1
property dev.bootcomplete 1
[ "$(conf root)" != kernelsu ] || hooks boot-completed.d aside
log completed
while true; do
  sleep 3600
done
