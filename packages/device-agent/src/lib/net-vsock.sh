# Mode `vsock`: one gvproxy per device carries the guests' frames and listens on the device's 127.0.0.1 for them. It
# touches no route and no rule. The working directory is ROOT/net here.
# shellcheck shell=sh

# Without it the VMM carries vsock itself, to a socket (vhost-device-vsock).
VSOCK_DEVICE=/dev/vsock
VSOCK_PORT=1024
VSOCK_HANGS='gvproxy hangs'
# Seconds after which one that still answers has proven itself, and starts within such a time after which it has not.
VSOCK_PROOF=60
VSOCK_STARTS=3

vsock_up() {
  if vsock_runs; then return 0; fi
  vsock_down
  vsock_start || return 1
  if ! vsock_came && ! vsock_goes_back; then return 1; fi
  log "gvproxy runs, pid $pid"
  uptime_now
  put state/gvproxy-since "$now"
  [ -e good ] || vsock_good
  net_publish_all
}

# Fails with what was wrong where the one that was started does not answer.
vsock_came() {
  if net_until vsock_answers ''; then return 0; fi
  net_problem "gvproxy does not run: $(tail -n 1 log/gvproxy.log)"
  net_end ''
  return 1
}

# `good`: digest of the last one that has proven itself. `state/refused`: DIGEST REASON of the one of the settings where
# that did not run and the last good one goes on in its place, until the settings name yet another, the device restarts
# or `network` is asked for.
vsock_good() {
  get state/gvproxy && put good "$value"
}

vsock_is_refused() {
  get state/refused && [ "${value%% *}" = "$device_gvproxy" ]
}

# vsock_refuse REASON: fails where there is no other one to go back to.
vsock_refuse() {
  if vsock_is_refused; then return 1; fi
  get good && [ "$value" != "$device_gvproxy" ] && [ -r "$root/store/$value" ] || return 1
  log "gvproxy $device_gvproxy is taken back: $1"
  put state/refused "$device_gvproxy $1"
}

# Where the one before does not run either, both are worth another try.
vsock_goes_back() {
  if vsock_refuse "$net_error" && vsock_start && vsock_came; then return 0; fi
  rm -f state/refused
  return 1
}

# vsock_due: sets $net_due to the gvproxy that shall run.
vsock_due() {
  net_due=$device_gvproxy
  if vsock_is_refused && get good; then net_due=$value; fi
}

# True while gvproxy runs, and it is the one that shall.
vsock_runs() {
  vsock_due
  alive '' && get state/gvproxy && [ "$value" = "$net_due" ]
}

vsock_answers() {
  alive '' && vsock_request GET all ''
}

vsock_start() {
  vsock_due
  if ! stored_program "$net_due"; then
    net_problem "gvproxy is missing or damaged in the store: $stored"
    return 1
  fi
  if ! [ -r gvproxy.yaml ]; then
    net_problem "gvproxy has no configuration: $PWD/gvproxy.yaml"
    return 1
  fi
  net_listen=unix://$PWD/connect.sock
  [ ! -c "$VSOCK_DEVICE" ] || net_listen=vsock://:$VSOCK_PORT
  put state/gvproxy "$net_due"
  # Whose plans say which guests may join. No option: one from before that is gone back to would not know it.
  SOVEREIGN_SERVICES=$root/services
  export SOVEREIGN_SERVICES
  net_daemon '' gvproxy "$stored" -config gvproxy.yaml -listen "$net_listen" \
    -services "unix://$PWD/api.sock"
}

vsock_watch() {
  if vsock_runs; then
    if net_retry_due; then net_locked net_publish_all; fi
    if [ "$now" -ge "$net_log_at" ]; then
      net_log_at=$((now + NET_LOG_INTERVAL))
      rotate log/gvproxy.log "$NET_LOG"
      vsock_listens
    fi
    return
  fi
  [ "$now" -ge "$net_again_at" ] || return 0
  net_back_off
  log "gvproxy is gone or another one than it should be, starting it"
  # It answers and does not last.
  if [ "$net_failures" -gt $VSOCK_STARTS ]; then vsock_refuse "it ended $VSOCK_STARTS times"; fi
  net_locked net_mode_up
}

# One that hangs is told, not killed: connections through it may be worth more than an answer. Asked twice, since a busy
# device is slow.
vsock_listens() {
  if vsock_answers || vsock_answers; then
    get state/attention
    case $value in "$VSOCK_HANGS"*) rm -f state/attention ;; esac
    vsock_proves_itself
  else
    net_problem "$VSOCK_HANGS (pid $pid): sovereign diagnose --fix starts it again"
  fi
}

vsock_proves_itself() {
  get state/gvproxy
  net_have=$value
  if get good && [ "$value" = "$net_have" ]; then return; fi
  get state/gvproxy-since
  is_number "$value" && [ $((now - value)) -ge $VSOCK_PROOF ] || return 0
  vsock_good
}

# What it left would keep the next one from listening.
vsock_down() {
  net_end '' || net_problem "gvproxy (pid $pid) cannot be killed"
  if [ -e api.sock ] || [ -e connect.sock ]; then rm -f api.sock connect.sock; fi
}

# Publishes net_port as net_address:net_guest_port.
vsock_expose() {
  net_body="\"local\":\"127.0.0.1:$net_port\",\"remote\":\"$net_address:$net_guest_port\""
  if vsock_request POST expose "{$net_body}"; then return 0; fi
  case $net_answer in
    *'proxy already running')
      vsock_request GET all ''
      case $net_answer in *"$net_body"*) return 0 ;; esac
      # It leads elsewhere. Connections that are open go on.
      vsock_unexpose
      vsock_request POST expose "{$net_body}" && return 0
      ;;
  esac
  net_error=${net_answer##*"$LF"}
  net_error=${net_error:-gvproxy does not answer}
  return 1
}

vsock_unexpose() {
  vsock_request POST unexpose "{\"local\":\"127.0.0.1:$net_port\"}"
}

# vsock_request METHOD VERB BODY: one request to the forwarder; sets $net_answer, whose last line tells what was wrong.
vsock_request() {
  net_answer=$(
    printf '%s /services/forwarder/%s HTTP/1.0\r\nHost: gvproxy\r\nContent-Length: %d\r\n\r\n%s' "$1" "$2" ${#3} "$3" |
      timeout 5 nc -U api.sock 2>/dev/null
  )
  case $net_answer in 'HTTP/1.'?' 200'*) return 0 ;; esac
  return 1
}
