# The network that the guests of this device share, on a phone (docs/formats.md, "Network plan"). In mode `user` each
# VMM makes its own and nothing is done here. What is published is kept in ROOT/net/published/SERVICE, one
# `PORT ADDRESS GUESTPORT` a line, so that it can be made again whoever was killed.
#
#   net_conf                         first of all; fails with $net_error
#   net_up, net_watch, net_down      the keeper's
#   net_attach, net_publish, net_withdraw, net_detach   SERVICE_DIR SLOT, around each machine, in this order
#   net_status, net_anew             the verbs
#
# Each keeps the caller's working directory. Those that change something hold ROOT/net/lock (descriptor 6).
# shellcheck shell=sh

NET_SUBNET=192.168.127.0/24
NET_GATEWAY=192.168.127.1
# How long another may hold the lock, in seconds: longer than anything that is done under it.
NET_LOCK=60
# How long a process may take until it listens, in seconds.
NET_ANSWER=10
# Between two tries of what could not be published, in seconds.
NET_RETRY=10
# Largest log of gvproxy, in bytes, and how often it is looked at, in seconds.
NET_LOG=1000000
NET_LOG_INTERVAL=60
LF='
'

net_conf() {
  net_error=''
  net_failures=0
  net_again_at=0
  net_look_at=0
  net_chains_at=0
  net_log_at=0
  net_folder=$root/net
  read_device_conf || net_error=$device_error
  net_mode=$device_network
  [ -z "$net_error" ]
}

# A deploy may have changed the settings since: the mode, or the gvproxy that shall run.
net_conf_again() {
  read_device_conf || return 0
  net_mode=$device_network
}

# Safe to repeat: does what is missing.
net_up() {
  [ "$net_mode" = user ] || net_locked net_mode_up
}

# Once a round of the keeper. Starts no process while all is well, but for a look every few seconds.
net_watch() {
  net_conf_again
  [ "$net_mode" != user ] || return 0
  uptime_now
  net_from=$PWD
  cd "$net_folder" 2>/dev/null || return 0
  case $net_mode in
    vsock) vsock_watch ;;
    tap) tap_watch ;;
  esac
  cd "$net_from" || return 1
}

# Takes back whatever any mode left here.
net_down() {
  [ ! -d "$net_folder" ] || net_locked net_take_back
}

net_attach() {
  net_conf_again
  [ "$net_mode" = user ] || net_with_plan "$1" "$2" net_attach_now
}

net_detach() {
  [ "$net_mode" != tap ] || net_with_plan "$1" "$2" tap_detach
}

# What cannot be published now is tried again by net_watch.
net_publish() {
  [ "$net_mode" = user ] || net_with_plan "$1" "$2" net_publish_now
}

net_withdraw() {
  [ "$net_mode" = user ] || net_with_plan "$1" "$2" net_withdraw_now
}

# `- KEY VALUE` lines of `status`.
net_status() {
  echo "- network $net_mode"
  [ "$net_mode" != user ] && [ -d "$net_folder" ] || return 0
  net_from=$PWD
  cd "$net_folder" || return 1
  if alive ''; then echo "- gvproxy $pid"; fi
  if get state/attention; then echo "- attention $value"; fi
  if [ "$net_mode" = vsock ] && vsock_is_refused; then
    echo "- attention the new gvproxy was taken back, and the one before runs: ${value#* }"
  fi
  cd "$net_from" || return 1
}

# gvproxy is started again with all that is published; guests come back by themselves. What is missing of TAP devices,
# rules and relays the keeper makes anyway.
net_anew() {
  net_conf || die 1 "$net_error"
  [ "$net_mode" != user ] || return 0
  net_locked net_anew_now || die 1 "${net_error:-the network could not be made again}"
}

net_anew_now() {
  rm -f state/refused
  [ "$net_mode" != vsock ] || vsock_down
  net_mode_up
}

# net_locked COMMAND…: runs it in ROOT/net while nobody else changes the network.
net_locked() {
  net_lock_from=$PWD
  if ! { [ -d "$net_folder" ] || mkdir -p "$net_folder"; } || ! cd "$net_folder"; then
    net_error="cannot write in $net_folder"
    return 1
  fi
  net_result=1
  # No exec: mksh can keep a copy of what exec opened, and with it the lock.
  {
    if net_take_lock; then
      [ -d published ] || mkdir -p state log published
      if "$@"; then net_result=0; fi
    else
      net_error="the network of this device is locked by another launcher"
    fi
  } 6<>lock
  cd "$net_lock_from" && return "$net_result"
}

net_take_lock() {
  uptime_now
  net_end_at=$((now + NET_LOCK))
  # Not toybox's timeout: its exit status is wrong at times for what ends quickly.
  until flock -n 6; do
    sleep "$nap"
    uptime_now
    [ "$now" -lt "$net_end_at" ] || return 1
  done
}

# net_with_plan SERVICE_DIR SLOT COMMAND: the command finds net_service and, of the slot's plan, net_address, net_tap
# and net_ports (lines `PORT GUESTPORT`).
net_with_plan() {
  net_from=$PWD
  cd "$1" || return 1
  net_service=${PWD##*/}
  net_address=''
  net_tap=''
  net_ports=''
  if [ -r "$2/launch" ]; then
    while read -r net_key net_value; do
      case $net_key in
        address) net_address=$net_value ;;
        tap) net_tap=$net_value ;;
        publish) net_ports=$net_ports$net_value$LF ;;
      esac
    done <"$2/launch"
  fi
  cd "$net_from" || return 1
  net_locked "$3"
}

net_mode_up() {
  net_forget_other_boot
  case $net_mode in
    vsock) tap_down && vsock_up ;;
    tap) vsock_down && tap_up ;;
  esac
}

# What was recorded before the device restarted says nothing about now.
net_forget_other_boot() {
  boot_id
  if get state/network-boot && [ "$value" = "$boot" ]; then return; fi
  rm -rf state published api.sock connect.sock
  mkdir state published
  put state/network-boot "$boot"
}

net_take_back() {
  vsock_down
  tap_down || return 1
  rm -rf state published
}

# In mode `vsock` a guest waits for the network by itself, and is none the worse.
net_attach_now() {
  net_planned=vsock
  [ -z "$net_tap" ] || net_planned=tap
  if [ -n "$net_address" ] && [ "$net_planned" != "$net_mode" ]; then
    net_error="$net_service was deployed for the network $net_planned, and this device has $net_mode now: deploy it again"
    return 1
  fi
  case $net_mode in
    vsock) net_mode_up || true ;;
    tap) net_mode_up && tap_attach ;;
  esac
}

net_publish_now() {
  [ -n "$net_ports" ] || [ -e "published/$net_service" ] || return 0
  net_lines=''
  # Split at line ends here, at blanks below: nothing of a plan is ever evaluated.
  IFS=$LF
  for net_line in $net_ports; do
    net_port=${net_line%% *}
    net_guest_port=${net_line#* }
    if ! is_port "$net_port" || ! is_port "$net_guest_port" || ! is_address "$net_address"; then
      IFS=" 	$LF"
      net_problem "launch plan of $net_service: 'publish $net_line' at address '$net_address' cannot be done"
      return 1
    fi
    net_lines="$net_lines$net_port $net_address $net_guest_port$LF"
  done
  IFS=" 	$LF"
  net_withdraw_now
  [ -n "$net_lines" ] || return 0
  printf %s "$net_lines" >"published/$net_service.new" && mv -f "published/$net_service.new" "published/$net_service"
  net_publish_file "published/$net_service"
}

# net_publish_all: each line of each service, whether it was published before or not.
net_publish_all() {
  if [ -e state/retry ] || [ -e state/attention ]; then rm -f state/retry state/attention; fi
  set +f
  set -- published/*
  set -f
  for net_file; do
    case $net_file in *.new | 'published/*') ;; *) net_publish_file "$net_file" ;; esac
  done
}

net_publish_file() {
  while read -r net_port net_address net_guest_port; do
    case $net_mode in
      vsock) vsock_expose ;;
      tap) relay_start ;;
    esac && continue
    net_problem "port $net_port of this device is not published: $net_error"
    uptime_now
    put state/retry $((now + NET_RETRY))
  done <"$1"
}

net_withdraw_now() {
  [ -e "published/$net_service" ] || return 0
  while read -r net_port net_rest; do
    case $net_mode in
      vsock) vsock_unexpose ;;
      tap) relay_stop ;;
    esac
  done <"published/$net_service"
  rm -f "published/$net_service"
}

# Says once what keeps the network from working; gone as soon as everything was published again.
net_problem() {
  net_error=$1
  if get state/attention && [ "$value" = "$1" ]; then return; fi
  log "network: $1"
  put state/attention "$1"
}

# net_retry_due: what could not be published is due again.
net_retry_due() {
  get state/retry && [ "$now" -ge "$value" ]
}

# A start that did not last is repeated ever more slowly: 0, 1, 2, 4… 60 seconds.
net_back_off() {
  if [ $((now - net_again_at)) -gt 60 ]; then net_failures=0; fi
  net_delay=0
  net_step=$net_failures
  while [ "$net_step" -gt 0 ]; do
    net_delay=$((net_delay * 2))
    [ "$net_delay" -gt 0 ] || net_delay=1
    [ "$net_delay" -lt 60 ] || net_delay=60
    net_step=$((net_step - 1))
  done
  [ "$net_failures" -ge 7 ] || net_failures=$((net_failures + 1))
  net_again_at=$((now + net_delay))
}

# net_daemon OWNER LOG COMMAND…: a process that outlives whoever started it, recorded before it is executed, in a group
# of its own, with none of our descriptors.
net_daemon() {
  (
    trap - HUP INT TERM
    exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
    self_pid
    record "$1" "$self" || exit 125
    shift 2
    exec setsid "$@"
  ) </dev/null >>"log/$2.log" 2>&1 &
}

# net_until CONDITION OWNER: waits until the condition holds; fails when the process ended, or after NET_ANSWER seconds.
net_until() {
  uptime_now
  net_end_at=$((now + NET_ANSWER))
  until "$1"; do
    uptime_now
    [ "$now" -lt "$net_end_at" ] || return 1
    # Not recorded yet is not ended.
    if [ -e "state/$2pid" ] && ! alive "$2"; then return 1; fi
    sleep "$nap"
  done
}

# net_end OWNER: ends a process that net_daemon started, and its children.
net_end() {
  net_left=50
  while alive "$1"; do
    if [ "$net_left" -gt 20 ]; then net_signal=TERM; else net_signal=KILL; fi
    kill -$net_signal "-$pid" 2>/dev/null || kill -$net_signal "$pid" 2>/dev/null
    [ "$net_left" -gt 0 ] || return 1
    net_left=$((net_left - 1))
    sleep "$nap"
  done
  [ ! -e "state/$1pid" ] || rm -f "state/$1pid" "state/$1start" "state/$1boot"
}

is_port() {
  is_number "$1" && [ "$1" -ge 1 ] && [ "$1" -le 65535 ]
}

# True for an address of the guests' network.
is_address() {
  case $1 in
    192.168.127.*) is_number "${1##*.}" && [ "${1##*.}" -ge 2 ] && [ "${1##*.}" -le 254 ] ;;
    *) return 1 ;;
  esac
}
