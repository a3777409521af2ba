#!/bin/sh
# Runs the cargo of a tree of packages as root, with this machine's network, certificates and registry settings.
#
# usage: cargo.sh TREE OUT CARGO_HOME ARGUMENT… (in a mount namespace of its own; OUT is /out inside)
set -eu
tree=$1 out=$2 home=$3
shift 3
mount --make-rprivate /
for file in etc/ssl etc/resolv.conf etc/hosts; do
  mount --bind "/$file" "$tree/$file"
done
mount --rbind /dev "$tree/dev"
mount -t proc proc "$tree/proc"
mount -t tmpfs tmpfs "$tree/tmp"
mount --bind "$out" "$tree/out"
mount --bind "$home" "$tree/cargo"
exec chroot "$tree" /usr/bin/env CARGO_HOME=/cargo HOME=/tmp TMPDIR=/tmp PATH=/usr/bin:/bin /usr/bin/cargo "$@"
