#!/bin/sh
# First process of a lab: reaps what its children leave behind, and ends with its standard input. Everything in the
# lab ends with it, and its folder goes.
#
# usage: holder.sh FOLDER
set -eu
exec 3<&0
cat <&3 >/dev/null &
wait "$!"
kill -KILL -1 2>/dev/null || true
rm -rf "$1"
