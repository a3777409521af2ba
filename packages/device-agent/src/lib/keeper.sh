# The keeper, one per device: brings back launchers that are gone, holds the device awake, watches its space and its
# network, has its owner told. It ends by itself when no service is left to look after.
# shellcheck shell=sh

# Seconds between two rounds: on a phone each of them wakes a processor.
KEEPER_ROUND=2
# Seconds between two tries to bring back the same launcher, or the keeper.
RESPAWN=10
# Rounds after which a keeper that replaced another one has proven itself.
KEEPER_PROVEN=5
# Rounds between two looks at the log's size, and the size, in bytes, at which it is copied and emptied.
KEEPER_LOG_ROUNDS=300
KEEPER_LOG_LIMIT=1000000

keep() {
  # Made by who starts it: where it was removed meanwhile, nobody wants it again.
  cd "$root/keeper" && mkdir -p state || exit 1
  read_device_conf || keeper_refuses "$device_error"
  detach
  self_pid
  keeper_lock || exit 0
  halting=''
  trap 'halting=signal' TERM INT
  # Somebody changed what is wanted: the nap ends at once.
  trap : USR1
  trap '' HUP
  rm -f state/attention
  if get state/refused; then
    keeper_attention "$value"
    rm -f state/refused
  fi
  record '' "$self" || die 1 "cannot write in $PWD"
  log "keeper of launcher ${here##*/} begins"
  respawned=' '
  rounds=0
  shutdown_watch_begin
  if ! net_conf || ! net_up; then keeper_attention "the network is not up: $net_error"; fi
  while keeper_round; do keeper_nap; done
  notify_watch
  net_down
  awake_off
  log 'keeper ends'
}

enter_keeper() {
  mkdir -p "$root/keeper/state" "$root/keeper/log" || die 1 "cannot write in $root/keeper"
  cd "$root/keeper" || exit 1
}

keeper_refuses() {
  keeper_attention "$1"
  exit 1
}

keeper_attention() {
  log "attention: $1"
  put "$root/keeper/state/attention" "$1"
}

# A predecessor that is just ending holds the lock while it clears up.
keeper_lock() {
  exec 9<>lock
  tries=0
  until flock -n 9 9<&9; do
    tries=$((tries + 1))
    [ $tries -le 30 ] || return 1
    if alive '' && [ "$pid" != "$self" ]; then return 1; fi
    sleep 1
  done
}

# keeper_round: fails when the keeper shall end.
keeper_round() {
  uptime_now
  rounds=$((rounds + 1))
  shutdown_watch
  if [ -n "$halting" ]; then
    keeper_halts
    return 1
  fi
  watch_space
  soon_watch
  notify_watch
  keeper_looks
  if [ -z "$active" ]; then
    # In this order: who starts a service writes first that it is wanted, and then looks for a keeper.
    rm -f state/pid
    keeper_looks
    [ -n "$active" ] || return 1
    record '' "$self"
  fi
  awake_keep
  net_watch
  [ $((rounds % KEEPER_LOG_ROUNDS)) -ne 0 ] || rotate log/keeper.log $KEEPER_LOG_LIMIT
  [ "$rounds" -ne $KEEPER_PROVEN ] || rm -f state/before
  keeper_update
}

# A shell in `sleep` hears a signal late, one in `wait` at once.
keeper_nap() {
  sleep $KEEPER_ROUND 9>&- &
  napper=$!
  wait $napper
  kill $napper 2>/dev/null
}

keeper_looks() {
  get "$root/agent/current"
  current_agent=$value
  active=''
  awake_wanted=''
  update_pending=''
  each_service look_after
}

look_after() {
  service_needs
  case $needs in
    nothing) return ;;
    watching) watch_new_launcher ;;
    launcher)
      update_pending=yes
      respawn
      ;;
    room) full_no_more && spawn ;;
  esac
  active=yes
  if is_wanted; then awake_wanted=yes; fi
}

respawn() {
  case $respawned in
    *" $service:"*)
      last=${respawned#*" $service:"}
      last=${last%% *}
      [ $((now - last)) -ge $RESPAWN ] || return
      respawned=${respawned%%" $service:"*}" "${respawned#*" $service:$last "}
      ;;
  esac
  respawned="$respawned$service:$now "
  dead_new_launcher
  log "nobody supervises $service: starting its launcher"
  spawn
}

# keeper_ensure [MESSAGE]: for a supervisor, which brings back a killed keeper as that brings back a killed supervisor.
# The message is logged where a keeper is started.
keeper_ensure() {
  alive '' "$root/keeper/state" && return
  [ "$now" -ge "${keeper_spawn_at:-0}" ] || return
  keeper_spawn_at=$((now + RESPAWN))
  [ $# -eq 0 ] || log "$1"
  keeper_script=$launcher
  dead_new_keeper
  spawn_keeper "$keeper_script"
}

# spawn_keeper SCRIPT
spawn_keeper() {
  mkdir -p "$root/keeper/log" || return
  choose_launcher "$1"
  setsid sh "$chosen" keep "$root" </dev/null >>"$root/keeper/log/keeper.log" 2>&1 7>&- 8>&- 9>&- &
}

# dismiss_keeper: after a stop; returns when everything is cleared up, where nothing is left to look after.
dismiss_keeper() {
  active=''
  each_service note_active
  [ -z "$active" ] || return 0
  uptime_now
  give_up_at=$((now + 30))
  while alive '' "$root/keeper/state"; do
    kill -USR1 "$pid" 2>/dev/null
    uptime_now
    [ "$now" -lt "$give_up_at" ] || die 1 "the keeper (pid $pid) does not end: see $root/keeper/log"
    sleep "$nap"
  done
  # Its record goes before it does: the lock says that it has cleared up.
  enter_keeper
  self_pid
  if ! keeper_lock; then
    alive '' || die 1 "the keeper does not end: see $PWD/log"
    return 0
  fi
  # One that was killed did not.
  rm -f state/before
  net_down
  awake_off
}

note_active() {
  service_needs
  [ "$needs" = nothing ] || active=yes
}

# boot_device: what the boot hook calls. What failed before the boot is worth another try.
boot_device() {
  enter_keeper
  each_service forget_phase
  spawn_keeper "$launcher"
}

forget_phase() {
  if is_wanted && ! alive launcher-; then rm -f state/phase state/full; fi
}
