# The data disk of a trial. A release whose plan names another `format` than the current one's changes the data when it
# starts: it works on a copy, made while nothing runs. Kept, the copy is the disk from then on; taken back, the disk
# from before is in its place again, untouched (docs/formats.md, "Trial").
#
#   data.img      what the VM works with
#   data.old      the disk from before, as long as the release on the copy is not current
#   data.copy-*   a copy that is being made
#   trial-data    SLOT RELEASE: whose copy it is. Written before the first of two renames
#
# Cut off after any step, settle_data finds out by `current` which disk counts.
# shellcheck shell=sh

# slot_format SLOT: sets $format; empty where the slot or its plan names none.
slot_format() {
  format=''
  [ -r "$1/launch" ] || return 0
  while read -r key plan_value; do
    [ "$key" != format ] || format=$plan_value
  done <"$1/launch"
}

remove_copies() {
  set +f
  rm -f data.copy-*
  set -f
}

# settle_data: before each start, and by `settle`. Leaves a copy that the trial in $on_trial goes on with. Fails with
# $data_error where the disk from before cannot be put back.
settle_data() {
  data_error=''
  remove_copies
  get trial-data || [ -e data.old ] || return 0
  # shellcheck disable=SC2086
  set -- $value
  get current
  if [ "$value" = "${1:-none}" ]; then
    # What says so has to outlast a power cut when the old disk does not.
    sync
    rm -f data.old && rm -f trial-data
    return 0
  fi
  if [ -n "$on_trial" ] && [ "${1:-} ${2:-}" = "$slot $plan_release" ] && [ -e data.old ] && [ -e data.img ]; then
    return 0
  fi
  if [ -e data.old ]; then
    if ! mv -f data.old data.img; then
      data_error="the data disk from before the trial cannot be put back: $PWD/data.old"
      return 1
    fi
    log 'the data disk from before the trial is in its place again'
  fi
  rm -f trial-data
}

# copy_for_trial: once a trial, where its release needs it. Fails with $data_error, or without where it was asked to end.
copy_for_trial() {
  data_error=''
  [ -n "$on_trial" ] && [ ! -e trial-data ] || return 0
  get current
  slot_format "${value:-none}"
  format_now=$format
  slot_format "$slot"
  [ "$format" != "$format_now" ] || return 0
  if ! room_for_copy; then return 1; fi
  log "this release changes the data (from ${format_now:-unknown} to ${format:-unknown}): its trial works on a copy"
  put state/slot "$slot"
  put state/release "$plan_release"
  put state/health starting
  put state/stage copy
  set_phase starting
  make_copy || return
  # What the copy took is no time that the release had.
  uptime_now
  get trial
  if [ "$value" = "$on_trial" ]; then
    trial_deadline=$((now + plan_deadline))
    on_trial="$trial_slot $trial_deadline $boot $trial_boots"
    put trial "$on_trial"
  fi
}

# Blocks count, not length: a thin disk is copied as a thin one. But a phone's cp fills the holes; its length is taken
# without the last digits, since mksh counts no further than 2 GiB.
room_for_copy() {
  free_space
  data_blocks=$(stat -c %b data.img) && data_length=$(stat -c %s data.img) || data_length=''
  if [ -z "$free" ] || [ -z "$data_blocks" ] || [ -z "$data_length" ]; then
    data_error='the space for a copy of the data cannot be told'
    return 1
  fi
  wanted_room=$((data_blocks / 2048))
  if [ "$device_kind" = adb ]; then
    wanted_room=${data_length%???}
    wanted_room=$((${wanted_room:-0} / 1000))
  fi
  wanted_room=$((wanted_room + 1 + device_reserve))
  [ "$free" -lt "$wanted_room" ] || return 0
  data_error="no space for a copy of the data: $wanted_room MiB are needed, $free are free"
  return 1
}

make_copy() {
  copy=data.copy-$self-$now
  (
    trap - HUP INT TERM
    exec 9>&-
    # In the shell's place: one that waits for a command hears no signal.
    exec cp data.img "$copy"
  ) </dev/null &
  copier=$!
  while start_ticks "$copier"; do
    if asked_to_end; then
      kill "$copier" 2>/dev/null
      wait "$copier"
      remove_copies
      ends_as_asked
      return 1
    fi
    sleep "$nap"
  done
  if ! wait "$copier" || ! sync; then
    remove_copies
    data_error="the data could not be copied: see $PWD/log/launcher.log"
    return 1
  fi
  if put trial-data "$slot $plan_release" && sync && mv -f data.img data.old && mv -f "$copy" data.img; then
    return 0
  fi
  remove_copies
  data_error='the copy of the data could not be put in its place'
  return 1
}

# `settle`: for whoever wants to change the service's disk or slots, while nobody supervises it.
settle_service() {
  take_lock || die 1 "the launcher of $service runs"
  if alive ''; then die 1 "VM $pid runs"; fi
  on_trial=''
  slot=''
  [ ! -e trial ] || die 1 "a release is on trial"
  settle_data || die 1 "$data_error"
}
