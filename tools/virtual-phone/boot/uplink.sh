# usage: uplink.sh v4-rmnet0|wlan0|none: stand-in for netd when the default network changes. Routes live in a table
# of each interface; rules lead local processes there, and nothing that is forwarded.
# shellcheck shell=sh
set -u
wanted=$1

for name in v4-rmnet0 wlan0; do
  while ip rule del lookup "$(cat "/dev/.phone/table.$name" 2>/dev/null || echo 4000000)" 2>/dev/null; do :; done
done
rm -f /dev/.phone/uplink
# Without a default network there is no rule but the last.
[ "$wanted" != none ] || exit 0

case $wanted in
  v4-rmnet0) own=10.174.7.2/30 subnet=10.174.7.0/30 gateway=10.174.7.1 ;;
  wlan0) own=192.168.178.23/24 subnet=192.168.178.0/24 gateway=192.168.178.1 ;;
  *)
    echo "no such interface: $wanted" >&2
    exit 2
    ;;
esac
table=$((1000 + $(cat "/sys/class/net/$wanted/ifindex")))
echo "$table" >"/dev/.phone/table.$wanted"
echo "$table $wanted" >/data/misc/net/rt_tables

ip addr replace "$own" dev "$wanted"
ip link set "$wanted" up
ip route replace "$subnet" dev "$wanted" table "$table"
ip route replace default via "$gateway" dev "$wanted" table "$table"
ip rule add priority 16000 fwmark 0x10064/0x1ffff iif lo lookup "$table"
ip rule add priority 17000 iif lo oif "$wanted" lookup "$table"
ip rule add priority 23000 fwmark 0x64/0x1ffff iif lo lookup "$table"
ip rule add priority 31000 fwmark 0x0/0xffff iif lo lookup "$table"
# As a whole: dumpsys may be reading.
echo "$wanted $own $gateway" >/dev/.phone/uplink.new
mv /dev/.phone/uplink.new /dev/.phone/uplink
