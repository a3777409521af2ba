# Updates of the launcher itself. It is chosen by ROOT/agent/current; a supervisor whose guest is healthy goes over to
# the new one by `exec`, the VM kept, and the keeper follows when all of them have. A new launcher under which the
# guest does not report health within the plan's deadline is taken back: by itself, or by the keeper, which is still
# the old one. `state/launcher-before` holds one line while it has yet to prove itself: OLD DEADLINE BOOT NEW.
# shellcheck shell=sh

# Time for a new launcher to see by itself that its deadline has passed, in seconds, before the keeper acts.
LAUNCHER_GRACE=10

# Digest of the launcher that runs: the name of its folder.
own=${here##*/}

# choose_launcher SCRIPT: sets $chosen to it, or where it is gone to the current one. Whoever starts another process
# starts it from its own launcher: a new one proves itself first.
choose_launcher() {
  chosen=$1
  if ! [ -r "$chosen" ] && get "$root/agent/current"; then chosen=$root/agent/$value/launch.sh; fi
}

# new_launcher: true where another one is due; sets $new to its digest.
new_launcher() {
  get "$root/agent/current" && [ "$value" != "$own" ] && [ -r "$root/agent/$value/launch.sh" ] || return 1
  new=$value
}

# update_launcher: for a supervisor, between two looks at its VM.
update_launcher() {
  [ "$health" = ok ] && [ -z "$on_trial" ] && new_launcher || return 0
  if ! starts_up "$new"; then
    attention "the new launcher $new was not taken: it does not start up"
    revert_launcher "$new" "$own"
    return 0
  fi
  launcher_proves_itself "$own" "$new" || return 0
  log "going over to launcher $new"
  become "$new"
}

# launcher_proves_itself OLD NEW: from now on, within the plan's deadline.
launcher_proves_itself() {
  boot_id
  before_deadline=$((now + plan_deadline))
  put state/launcher-before "$1 $before_deadline $boot $2"
}

# launcher_gets_time: a VM that starts during the proof has the whole deadline for its boot.
launcher_gets_time() {
  [ -z "$before" ] || launcher_proves_itself "$before" "$own"
}

# starts_up DIGEST: all of its parts can be read.
starts_up() {
  said=$(timeout 30 sh "$root/agent/$1/launch.sh" check "$root" 2>&1) || {
    log "launcher $1: $said"
    return 1
  }
}

# become DIGEST: does not come back. The new one takes the lock itself: what is handed down may outlive it.
become() {
  control_close
  exec 9>&-
  exec sh "$root/agent/$1/launch.sh" run "$root" "$service"
}

# read_before: sets $before to the launcher to go back to, empty where this one has nothing to prove.
read_before() {
  before=''
  get state/launcher-before || return 0
  # shellcheck disable=SC2086
  set -- $value
  boot_id
  if [ "${3:-}" = "$boot" ] && [ "${4:-}" = "$own" ] && is_number "$2"; then
    before=$1
    before_deadline=$2
  else
    rm -f state/launcher-before
  fi
}

launcher_proven() {
  if [ -n "$before" ]; then
    before=''
    rm -f state/launcher-before
    log "launcher $own has taken over"
  fi
  # For the boot hook, where the current one does not start.
  get "$root/agent/good"
  if [ "$value" != "$own" ] && [ -r "$root/agent/$own/launch.sh" ]; then put "$root/agent/good" "$own"; fi
}

# launcher_overdue: goes back where this launcher had its time.
launcher_overdue() {
  [ -n "$before" ] && [ "$now" -ge "$before_deadline" ] || return 0
  refuse_launcher "$own" "$before" "no health within $plan_deadline s"
  become "$before"
}

# refuse_launcher NEW BEFORE REASON: what the next supervisor of this service says.
refuse_launcher() {
  put state/launcher-refused "the new launcher $1 was taken back: $3"
  rm -f state/launcher-before
  log "launcher $1 is taken back: $3"
  revert_launcher "$1" "$2"
}

# revert_launcher NEW BEFORE: unless somebody chose yet another one.
revert_launcher() {
  [ -r "$root/agent/$2/launch.sh" ] || return 0
  for chooser in current good; do
    get "$root/agent/$chooser"
    [ "$value" != "$1" ] || put "$root/agent/$chooser" "$2"
  done
}

# watch_new_launcher: for the keeper, about a launcher that runs.
watch_new_launcher() {
  get state/launcher-agent
  [ "$value" = "$current_agent" ] || update_pending=yes
  get state/launcher-before || return 0
  update_pending=yes
  silent=$pid
  # shellcheck disable=SC2086
  set -- $value
  is_number "${2:-}" && [ "$now" -ge $(($2 + LAUNCHER_GRACE)) ] || return 0
  log "the new launcher of $service does nothing: killing it (pid $silent)"
  kill -KILL "$silent"
  refuse_launcher "$4" "$1" 'it did not end by itself when its time had passed'
}

# dead_new_launcher: for the keeper, about a launcher that is gone.
dead_new_launcher() {
  get state/launcher-before || return 0
  # shellcheck disable=SC2086
  set -- $value
  boot_id
  [ "${3:-}" = "$boot" ] || return 0
  refuse_launcher "$4" "$1" 'it ended'
}

# keeper_update: for the keeper, once all supervisors run the new launcher and have proven it. One that was chosen since
# they were looked at has yet to do so.
keeper_update() {
  [ -z "$update_pending" ] && new_launcher && [ "$new" = "$current_agent" ] || return 0
  boot_id
  put state/before "$own $boot $new" || return 0
  log "going over to the keeper of launcher $new"
  # Its record stays true meanwhile: it is the same process.
  exec 9>&-
  exec sh "$root/agent/$new/launch.sh" keep "$root"
}

# dead_new_keeper: for a supervisor that found no keeper; sets $keeper_script where the one before has to come back.
dead_new_keeper() {
  get "$root/keeper/state/before" || return 0
  # shellcheck disable=SC2086
  set -- $value
  rm -f "$root/keeper/state/before"
  boot_id
  [ "${2:-}" = "$boot" ] || return 0
  log "the keeper of launcher $3 did not last: going back to $1"
  put "$root/keeper/state/refused" "the new launcher $3 was taken back: its keeper did not last"
  keeper_script=$root/agent/$1/launch.sh
  revert_launcher "$3" "$1"
}
