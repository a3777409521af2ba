# A new release boots on trial (docs/formats.md, "Trial"). `trial` holds one line: SLOT DEADLINE BOOT BOOTS
# (deadline in uptime seconds of the host's boot BOOT, 0 before the first start; BOOTS: host boots that tried it).
# shellcheck shell=sh

TRIAL_REPORTS=3
TRIAL_BOOTS=2

# read_trial: sets trial_slot and the rest; fails where there is no trial.
read_trial() {
  get trial || return 1
  # shellcheck disable=SC2086
  set -- $value
  trial_line=$value
  case ${1:-} in a | b) ;; *) return 1 ;; esac
  trial_slot=$1
  trial_deadline=${2:-0}
  trial_boot=${3:--}
  trial_boots=${4:-0}
  is_number "$trial_deadline" && is_number "$trial_boots"
}

# Chooses the slot to start: $slot, with $on_trial set where it has yet to prove itself.
choose_slot() {
  on_trial=''
  get current
  slot=$value
  if read_trial; then
    boot_id
    if [ "$trial_boot" != "$boot" ]; then
      on_trial=$trial_line
      if [ "$trial_boots" -ge $TRIAL_BOOTS ]; then
        trial_failed "this device restarted $trial_boots times during its trial"
        return
      fi
      trial_boots=$((trial_boots + 1))
      read_plan "$trial_slot" || {
        trial_failed "$plan_error"
        return
      }
      trial_deadline=$((now + plan_deadline))
      put trial "$trial_slot $trial_deadline $boot $trial_boots"
    elif [ "$now" -ge "$trial_deadline" ]; then
      on_trial=$trial_line
      trial_failed "its time had passed when the launcher came back"
      return
    fi
    slot=$trial_slot
    begin_trial
  fi
}

# Remembers the trial exactly as it was begun: a deploy in between writes another one, which this VM cannot pass.
begin_trial() {
  on_trial="$trial_slot $trial_deadline $boot $trial_boots"
  trial_count=0
  trial_last=0
  # What was said of another release.
  rm -f state/attention
}

trial_health() {
  if [ "$health" != ok ]; then
    trial_count=0
    return
  fi
  if [ "$trial_count" -eq 0 ] || [ $((now - trial_last)) -ge "$plan_trial_spacing" ]; then
    trial_count=$((trial_count + 1))
    trial_last=$now
  fi
  [ "$trial_count" -lt $TRIAL_REPORTS ] || trial_passed
}

trial_passed() {
  get trial
  if [ "$value" != "$on_trial" ]; then
    log "the trial of slot $slot was replaced by another one: start the service again"
    on_trial=''
    return
  fi
  put current "$slot" && rm -f trial || return
  on_trial=''
  settle_data
  open_guest
  log "release $plan_release passed its trial: slot $slot is current"
}

# trial_failed REASON: the release before runs again; sets $slot to it. The trial of a deploy in between is let be.
trial_failed() {
  get trial
  [ "$value" != "$on_trial" ] || rm -f trial
  on_trial=''
  get current
  slot=$value
  attention "the new release was taken back: $*"
}

# trial_overdue: true when a trial has used up its time.
trial_overdue() {
  [ -n "$on_trial" ] && [ "$now" -ge "$trial_deadline" ]
}
