#!/bin/sh
# First process of a lab: reaps what its children leave behind, and ends with its standard input. Everything in the
# lab ends with it, and its folder goes.
#
# usage: holder.sh FOLDER
set -eu
# Its own /proc is mounted by now: rooms that are made before would keep that of the machine.
echo ready
exec 3<&0
cat <&3 >/dev/null &
wait "$!"
# Until none is left: what is in the middle of a call could still write into the folder.
while kill -KILL -1 2>/dev/null; do sleep 0.1; done
rm -rf "$1"
