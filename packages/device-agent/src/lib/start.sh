# `start`: a supervisor that survives whoever asked for it.
# shellcheck shell=sh

# How long a supervisor may take to appear, or to end what it does now, in seconds.
START_WAIT=120
START_TRIES=3

start_supervisor() {
  uptime_now
  give_up_at=$((now + START_WAIT))
  spawned=''
  tries=0
  end_ancient_launcher
  ask_for_start
  until is_up; do
    get wanted
    case $value in down\ *) die 1 "$service was asked to stop meanwhile" ;; esac
    if ! alive launcher- && ! is_coming; then
      get state/phase
      if [ -n "$spawned" ] && [ "$value" = failed ]; then start_failed; fi
      tries=$((tries + 1))
      [ "$tries" -le $START_TRIES ] || start_failed
      ask_for_start
      spawn
    fi
    uptime_now
    [ "$now" -lt "$give_up_at" ] || die 1 "$service did not start within $START_WAIT s: see $PWD/log"
    sleep "$nap"
  done
}

# A supervisor of a launcher from before there were keepers would refuse the plans of today. Its VM is adopted.
end_ancient_launcher() {
  # What was killed looks alive for a moment, and would pass for the one that was asked for.
  while alive launcher- && ! [ -e state/launcher-agent ]; do
    kill -KILL "$pid" 2>/dev/null
    uptime_now
    [ "$now" -lt "$give_up_at" ] || die 1 "the launcher of $service (pid $pid) cannot be killed"
    sleep "$nap"
  done
}

# The phase is this supervisor's: it clears what an earlier one left before it is recorded.
is_up() {
  alive launcher- || return 1
  get wanted
  case $value in restart\ *) return 1 ;; esac
  get state/phase
  case $value in starting | running) ;; *) return 1 ;; esac
}

is_coming() {
  [ -n "$spawned" ] && start_ticks "$spawned"
}

# A supervisor that runs another slot than the one that is due, or the same by another plan, is asked to change.
ask_for_start() {
  get current
  due=$value
  if get trial; then due=${value%% *}; fi
  get state/slot
  running=$value
  if alive launcher- && { [ "$running" != "$due" ] || plan_changed "$due"; }; then
    put wanted 'restart 60'
  else
    put wanted up
  fi || die 1 "cannot write in $PWD"
}

# A session of its own, and none of the caller's descriptors: adb waits for whoever holds them.
spawn() {
  choose_launcher "$launcher"
  setsid sh "$chosen" run "$root" "$service" </dev/null >>log/launcher.log 2>&1 9>&- &
  spawned=$!
}

start_failed() {
  get state/attention
  die 1 "$service did not start: ${value:-see $PWD/log/launcher.log}"
}
