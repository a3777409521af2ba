#!/bin/sh
# Enters the tool root inside namespaces that `unshare` has just made (see enter.ts, which is its only caller):
#   enter.sh ROOT CWD [ro|rw SOURCE TARGET]... -- COMMAND...
# The tree is mounted read-only, so no build can change the tools of the next one.
set -eu
root=$1 cwd=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
  mount --bind "$2" "$root$3"
  [ "$1" = rw ] || mount -o remount,bind,ro "$root$3"
  shift 3
done
shift
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -o remount,bind,ro "$root"
cd "$root"
# The inner shell only changes the folder; the command's words are passed on untouched.
# shellcheck disable=SC2016
exec chroot . /bin/sh -c 'cd "$0" && exec "$@"' "$cwd" "$@"
