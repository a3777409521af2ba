#!/bin/sh
# First process of the phone's namespaces, with this machine's own tools: makes the phone's file systems, waits for
# a line on standard input (the network interfaces are there), and becomes the phone's init.
#
# usage: enter.sh TREE WORK DATA_IMAGE CHECKOUT
set -eu
tree=$1 work=$2 data=$3 checkout=$4
root=$work/root

# A branch of the machine's cgroups (version 2, where it has them) is the phone's whole tree.
groups=$(sed -n 's/^[^ ]* \([^ ]*\) cgroup2 .*/\1/p' /proc/mounts | head -n 1)
if [ -n "$groups" ] && [ "${5-}" != in-group ]; then
  group=$groups/sovereign-phone-$(basename "$(dirname "$work")")
  mkdir -p "$group"
  echo 0 >"$group/cgroup.procs"
  exec unshare --cgroup sh "$0" "$@" in-group
fi

mount -t tmpfs -o size=256m,mode=755 tmpfs "$work"
mkdir "$work/upper" "$work/scratch" "$root"
mount -t overlay -o "lowerdir=$tree,upperdir=$work/upper,workdir=$work/scratch" overlay "$root"

# This machine's own files, read-only: the stand-in for crosvm runs QEMU from there.
mount --rbind / "$root/.host"
mount -o remount,bind,ro "$root/.host"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
[ -z "$groups" ] || mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
# Wake locks, a stand-in: this machine's kernel has none.
if [ -d /sys/power ]; then
  mount -t tmpfs -o size=64k,mode=755 tmpfs "$root/sys/power"
  : >"$root/sys/power/wake_lock"
  : >"$root/sys/power/wake_unlock"
fi

mount -t tmpfs -o size=16m,mode=755 tmpfs "$root/dev"
node() {
  mknod -m "$1" "$root/dev/$2" c "$3" "$4"
}
node 666 null 1 3
node 666 zero 1 5
node 666 full 1 7
node 666 random 1 8
node 666 urandom 1 9
node 666 tty 5 0
node 660 tun 10 200
# Nobody opens these two here: the stand-in for crosvm brings its own processor and its own vsock.
node 666 kvm 10 232
node 666 vhost-vsock 10 241
mkdir "$root/dev/net" "$root/dev/pts" "$root/dev/__properties__" "$root/dev/.phone"
ln -s ../tun "$root/dev/net/tun"
ln -s /proc/self/fd "$root/dev/fd"
mount -t devpts -o newinstance,ptmxmode=666,mode=600 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
# Each start is a boot of its own, which this machine's kernel does not know.
cat /proc/sys/kernel/random/uuid >"$root/dev/.phone/boot_id"
mount --bind "$root/dev/.phone/boot_id" "$root/proc/sys/kernel/random/boot_id"

mount -o loop,nosuid,nodev,noatime "$data" "$root/data"
cp "$work.conf" "$root/dev/.phone/conf"
for file in "$checkout"/tools/virtual-phone/stand-ins/*; do
  [ -d "$file" ] || cp "$file" "$root/system/bin/"
done
# The virtualization module is mounted twice, once with its version.
module=$root/apex/com.android.virt@$(sed -n 's/^virt-version //p' "$work.conf")
mkdir -p "$module/bin"
mv "$root/system/bin/crosvm.sh" "$module/bin/crosvm"
# Another release's crosvm is another file.
sed -n -e 's/^android/# Android/p' -e 's/^virt-version/# version/p' "$work.conf" >>"$module/bin/crosvm"
mount --bind "$module" "$root/apex/com.android.virt"
# Under a name of its own: the user shell may not look into every folder above it.
mount --bind "$checkout" "$root/.phone/checkout"
cp "$checkout"/tools/virtual-phone/boot/*.sh "$root/.phone/bin/"
chmod 755 "$root"/.phone/bin/*.sh

read -r _
ip link set lo up

cd "$root"
pivot_root . mnt
/system/bin/umount -l /mnt
exec /system/bin/env -i /.phone/bin/tini -- /system/bin/sh /.phone/bin/init.sh </dev/null
