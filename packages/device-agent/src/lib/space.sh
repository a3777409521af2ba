# Space of the host: a service is stopped cleanly before its disk meets a write error. It starts again by itself when
# half as much again as the reserve is free, so that it never goes up and down at the edge.
# shellcheck shell=sh

# Rounds of the keeper between two looks: each is a process.
SPACE_ROUNDS=5
NEWLINE='
'

# free_space: sets $free to MiB on the device folder's file system, empty where that cannot be told.
free_space() {
  free=$(df -kP "$root" 2>/dev/null) || free=''
  # The header, then: device, size, used, available. What mksh cannot count is more than enough.
  # shellcheck disable=SC2086
  set -- ${free#*"$NEWLINE"}
  case ${4:-none} in
    *[!0-9]*) free='' ;;
    ??????????*) free=999999 ;;
    *) free=$(($4 / 1024)) ;;
  esac
}

# host_is_full: for a supervisor, before it starts anything.
host_is_full() {
  [ "$device_reserve" -gt 0 ] || return 1
  free_space
  [ -n "$free" ] && [ "$free" -lt "$device_reserve" ]
}

# watch_space: for the keeper.
watch_space() {
  free=''
  [ "$device_reserve" -gt 0 ] && [ $((rounds % SPACE_ROUNDS)) -eq 1 ] || return 0
  free_space
  if [ -n "$free" ] && [ "$free" -lt "$device_reserve" ]; then each_service stop_for_space; fi
}

stop_for_space() {
  alive launcher- && ! [ -e state/full ] || return 0
  log "stopping $service: $free MiB are free, the reserve is $device_reserve MiB"
  put state/full "$free"
  kill -TERM "$pid"
}

# full_no_more: true where a service that was stopped for want of space may start again.
full_no_more() {
  [ -n "$free" ] && [ "$free" -ge $((device_reserve + device_reserve / 2)) ] || return 1
  log "starting $service again: $free MiB are free"
  rm -f state/full
}
