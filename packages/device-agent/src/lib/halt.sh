# The device goes down, or we leave it: services are stopped cleanly. What was wanted is kept, except by `remove`.
# shellcheck shell=sh

# What Android leaves us from the first sign of a shutdown on is about ten seconds.
SHUTDOWN_SECONDS=8

# Android tells of a shutdown in these properties and nowhere else: its init knows nothing of us. Each look is two
# processes, so only Android pays for it.
shutdown_watch_begin() {
  has_properties=''
  if [ "$device_kind" = adb ] && command -v getprop >/dev/null; then has_properties=yes; fi
}

shutdown_watch() {
  [ -n "$has_properties" ] && [ -z "$halting" ] || return 0
  if [ -n "$(getprop sys.shutdown.requested && getprop sys.powerctl)" ]; then halting=shutdown; fi
}

keeper_halts() {
  seconds=60
  if [ "$halting" = shutdown ]; then
    seconds=$SHUTDOWN_SECONDS
    log 'the device shuts down'
  elif get state/halt && is_number "$value"; then
    seconds=$value
  fi
  halt_services "$seconds"
}

# halt_services SECONDS: returns when no VM is left.
halt_services() {
  halt_seconds=$1
  each_service halt_launcher
  uptime_now
  halt_until=$((now + halt_seconds + STOP_MARGIN))
  active=yes
  while [ -n "$active" ] && [ "$now" -lt "$halt_until" ]; do
    active=''
    each_service note_supervised
    [ -z "$active" ] || sleep "$nap"
    uptime_now
  done
  each_service halt_orphan
}

halt_launcher() {
  alive launcher- || return 0
  put state/halt "$halt_seconds"
  kill -TERM "$pid"
}

note_supervised() {
  if alive launcher-; then active=yes; fi
}

halt_orphan() {
  alive '' || return 0
  (take_lock && stop_orphan "$halt_seconds")
}

# Nothing in device.conf keeps a service from being stopped.
conf_as_far_as_possible() {
  net_conf && return
  printf 'launcher: %s\n' "$net_error" >&2
  net_mode=$device_network
}

# halt_device SECONDS
halt_device() {
  enter_keeper
  conf_as_far_as_possible
  put state/halt "$1"
  uptime_now
  give_up_at=$((now + $1 + STOP_MARGIN * 2))
  self_pid
  end_keeper
  # One that somebody started meanwhile.
  until keeper_lock; do
    uptime_now
    [ "$now" -lt "$give_up_at" ] || die 1 "another keeper begins: see $PWD/log"
    end_keeper
  done
  halt_services "$1"
  net_down
  awake_off
  rm -f state/halt
}

# end_keeper: returns once none runs.
end_keeper() {
  while alive ''; do
    kill -TERM "$pid" 2>/dev/null
    [ "$now" -lt "$give_up_at" ] || die 1 "the keeper (pid $pid) does not end: see $PWD/log"
    sleep "$nap"
    uptime_now
  done
}

# remove_device: everything that we set on this device, except files below ROOT and the data in them.
remove_device() {
  halt_device 60
  each_service unwant
  notify_end
  [ -z "$device_hook" ] || rm -f "$device_hook"
  cd "$root" && rm -rf keeper
}

unwant() {
  put wanted 'down 60'
}
