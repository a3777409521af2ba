#!/bin/sh
# Holds a room of the lab: a network of its own, in which names are asked of the lab's resolver alone.
#
# usage: room.sh RESOLV_CONF (in network and mount namespaces of its own)
set -eu
mount --bind "$1" /etc/resolv.conf
ip link set lo up
echo ready
exec sleep infinity
