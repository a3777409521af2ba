# Mode `tap`: a TAP device per guest on a bridge of ours, forwarded by the kernel (net-rules.sh). A published port is a
# relay process: a rule that leads from loopback into the bridge would need route_localnet, which opens the device's
# loopback to the guests. The working directory is ROOT/net here.
# shellcheck shell=sh

TAP_BRIDGE=sov-br0
# The bridge's own, so that it does not change with the devices on it.
TAP_BRIDGE_MAC=52:53:56:00:00:01
# Between two looks at the device's routes and rules, in seconds.
TAP_LOOK=5

tap_up() {
  if tap_other_owner && tap_bridge_up && rules_up; then return 0; fi
  net_problem "$net_error"
  return 1
}

tap_bridge_up() {
  net_bridge=/sys/class/net/$TAP_BRIDGE
  if [ -e state/bridge ] && [ -e "$net_bridge" ]; then return 0; fi
  [ -e "$net_bridge" ] || tap_do ip link add name "$TAP_BRIDGE" type bridge || return 1
  # Nobody speaks IPv6 there, so the device must not answer it either.
  net_ipv6=/proc/sys/net/ipv6/conf/$TAP_BRIDGE/disable_ipv6
  [ ! -w "$net_ipv6" ] || echo 1 >"$net_ipv6"
  tap_do ip link set dev "$TAP_BRIDGE" address "$TAP_BRIDGE_MAC" &&
    tap_do ip -4 addr replace "$NET_GATEWAY/24" dev "$TAP_BRIDGE" &&
    tap_do ip link set dev "$TAP_BRIDGE" up &&
    put state/bridge up
}

# Fails where another interface has addresses of our subnet: the phone may join such a network at any time.
tap_other_owner() {
  net_owner=$(ip -4 -o addr show to "$NET_SUBNET") || return 0
  IFS=$LF
  for net_line in $net_owner; do
    case $net_line in
      *" $TAP_BRIDGE "*) ;;
      *)
        IFS=" 	$LF"
        net_error="another interface of this device uses $NET_SUBNET: $net_line"
        return 1
        ;;
    esac
  done
  IFS=" 	$LF"
}

# Creates the TAP device of a guest, anew where an earlier one was left.
tap_attach() {
  case $net_tap in
    sov-?*) [ ${#net_tap} -le 15 ] ;;
    *) false ;;
  esac || {
    net_error="launch plan of $net_service: '$net_tap' is no name for its TAP device"
    return 1
  }
  if [ -e "/sys/class/net/$net_tap" ]; then tap_do ip link del dev "$net_tap" || return 1; fi
  # As crosvm opens it: with the header of virtio-net.
  tap_do ip tuntap add dev "$net_tap" mode tap vnet_hdr &&
    tap_do ip link set dev "$net_tap" master "$TAP_BRIDGE" up
}

tap_detach() {
  [ -n "$net_tap" ] && [ -e "/sys/class/net/$net_tap" ] || return 0
  tap_do ip link del dev "$net_tap"
}

# tap_do COMMAND…: its words become $net_error when it fails.
tap_do() {
  net_said=$("$@" 2>&1) || {
    net_error="$*: $net_said"
    return 1
  }
}

# Whatever was taken away is put back: by netd, by whoever turned tethering off, by whoever killed a relay.
tap_watch() {
  [ "$now" -ge "$net_look_at" ] || return 0
  net_look_at=$((now + TAP_LOOK))
  net_locked tap_look
}

tap_look() {
  net_mode_up && net_publish_all
  if [ "$now" -ge "$net_log_at" ]; then
    net_log_at=$((now + NET_LOG_INTERVAL))
    rotate log/relay.log "$NET_LOG"
  fi
}

# Publishes net_port as net_address:net_guest_port. Its connections are children in the same process group.
relay_start() {
  net_relay=relay-$net_port-
  if alive "$net_relay"; then return 0; fi
  rm -f "state/${net_relay}pid"
  net_daemon "$net_relay" relay nc -L -s 127.0.0.1 -p "$net_port" nc -w 5 "$net_address" "$net_guest_port"
  if net_until relay_listens "$net_relay"; then return 0; fi
  net_error="it cannot be listened on: $(tail -n 1 log/relay.log)"
  net_end "$net_relay"
  return 1
}

# Asked of the kernel: a connection to find out would reach the guest. The socket has to be the relay's: where another
# program holds the port, a relay that has yet to find that out runs beside it.
relay_listens() {
  alive "$net_relay" || return 1
  net_socket=$(printf '0100007F:%04X 00000000:0000 0A' "$net_port")
  # The tenth field of proc_net_tcp is its inode.
  net_inode=$(grep "$net_socket" /proc/net/tcp | {
    read -r _ _ _ _ _ _ _ _ _ inode _ && echo "$inode"
  }) || return 1
  case $(ls -l "/proc/$pid/fd" 2>/dev/null) in *"socket:[$net_inode]"*) ;; *) return 1 ;; esac
}

relay_stop() {
  net_end "relay-$net_port-"
}

relays_down() {
  set +f
  set -- state/relay-*-pid
  set -f
  for net_file; do
    net_file=${net_file#state/}
    net_end "${net_file%pid}" || net_problem "relay $net_file cannot be killed"
  done
}

tap_down() {
  relays_down
  # A device that never used this mode has nothing of ours in the kernel, and perhaps gives us no right to look.
  [ "$net_mode" = tap ] || [ -e state/rules ] || [ -e "/sys/class/net/$TAP_BRIDGE" ] || return 0
  rm -f state/bridge
  rules_down
  set +f
  set -- /sys/class/net/sov-*
  set -f
  for net_file; do
    [ -e "$net_file" ] || continue
    tap_do ip link del dev "${net_file##*/}" || net_problem "$net_error"
  done
}
