# The supervisor: starts the VM, watches it, starts it again, and gives up loudly.
# shellcheck shell=sh

supervise() {
  take_lock || die 1 "another launcher supervises $service"
  self_pid
  rm -f state/phase
  record launcher- "$self" || die 1 "cannot write state of $service"
  trap 'asked=signal' TERM INT
  trap '' HUP
  asked=''
  final=failed
  failures=0
  restarts=0
  checked_slot=''
  listen_only=''
  rm -f state/attention
  put state/restarts 0
  log "launcher ${here##*/} supervises $service"

  uptime_now
  adopt || next_start || ended=yes
  while [ -z "${ended:-}" ]; do
    watch
    after_end && next_start || ended=yes
  done
  log "launcher ends: $service is $final"
  set_phase "$final"
}

# A lock, not the record, keeps two supervisors apart. A child of a killed one may hold it for a moment.
take_lock() {
  exec 9<>lock
  tries=0
  # mksh hides descriptors that exec opened from commands, hence the second redirection.
  until flock -n 9 9<&9; do
    tries=$((tries + 1))
    [ $tries -le 5 ] && ! alive launcher- || return 1
    sleep 1
  done
}

# Starts the VM of the slot that is due. Fails when the supervisor shall end; $final says how.
next_start() {
  uptime_now
  if asked_to_end; then
    [ "$request" = restart ] || return 1
    put wanted up
  fi
  choose_slot
  begin_slot
}

begin_slot() {
  if ! read_plan "${slot:-none}"; then
    refuse_slot "$plan_error"
    return
  fi
  # Once a slot and supervisor: a restart after a crash shall not wait for it.
  if [ "$checked_slot" != "$slot" ]; then
    if ! check_files "$slot"; then
      refuse_slot "$plan_error"
      return
    fi
    checked_slot=$slot
    variant=1
  fi
  new_boot_logs
  boot_vm
}

boot_vm() {
  uptime_now
  put state/slot "$slot"
  put state/release "$plan_release"
  put state/health starting
  set_phase starting
  healthy_once=''
  overdue_at=$((now + plan_deadline))
  log "starting slot $slot${on_trial:+ on trial} (release $plan_release)"
  with_arguments "$slot/argv.$variant" vm_start && return 0
  refuse_slot "cannot create the control channel"
}

# refuse_slot REASON: a release that cannot even be started is taken back where it is on trial, else that is the end.
refuse_slot() {
  if [ -n "$on_trial" ]; then
    trial_failed "$1"
    begin_slot
    return
  fi
  attention "$1"
  final=failed
  return 1
}

# A VM that a killed launcher left behind goes on as it is. Fails where there is none.
adopt() {
  get state/slot
  slot=$value
  on_trial=''
  adopt_channel || return 1
  note_state health unknown
  if ! read_plan "${slot:-none}"; then
    log "stopping VM $pid, which an earlier launcher left: $plan_error"
    vm_stop 60
    return 1
  fi
  log "adopting VM $pid of slot $slot"
  if read_trial && [ "$trial_slot" = "$slot" ]; then
    boot_id
    begin_trial
  fi
  checked_slot=$slot
  variant=1
  healthy_once=''
  overdue_at=$((now + plan_deadline))
  set_phase starting
}

# Takes over the channel of a VM that runs. The FIFO is kept: it is the one that this VM reads.
adopt_channel() {
  alive '' || return 1
  uptime_now
  vm_gone_at=''
  get state/guest-boot
  guest_boot=$value
  listen_only=yes
  control_open
  control_read
  listen_only=''
}

# Until the VM is gone, for whatever reason; $why names ours, empty where it went by itself.
watch() {
  why=''
  logs_at=$now
  while :; do
    uptime_now
    control_read
    if vm_ended; then return; fi
    if asked_to_end; then
      why=$request
      vm_stop "$request_seconds"
      return
    fi
    if trial_overdue; then
      why=trial
      vm_stop "$plan_stop"
      return
    fi
    watch_deadline
    if [ $((now - logs_at)) -ge "$plan_log_interval" ]; then
      logs_at=$now
      rotate_all
      control_rotate
    fi
    if [ -n "$healthy_once" ]; then sleep 1; else sleep "$nap"; fi
  done
}

# A start that is no trial is left running when it does not become healthy: the data is there, and the guest tries on.
watch_deadline() {
  if [ -z "$healthy_once" ] && [ -z "$on_trial" ] && [ "$now" -ge "$overdue_at" ]; then
    healthy_once=late
    value=''
    get state/stage
    attention "not healthy $plan_deadline s after the start, last stage: ${value:-none}"
  fi
}

became_healthy() {
  [ "$healthy_once" = yes ] && return
  # Better late than never: what was said about it is no longer true.
  [ "$healthy_once" != late ] || rm -f state/attention
  healthy_once=yes
  failures=0
  set_phase running
}

# The verdict on a VM that is gone. Fails when the supervisor shall end.
after_end() {
  control_close
  stage=''
  if get state/stage; then stage=$value; fi
  log "VM ended: exit status $exit_status, last stage ${stage:-none}"
  rm -f state/pid state/start state/boot
  put state/health unknown
  case $why in
    down | signal)
      final=stopped
      # A start that was asked for while the guest was stopping is done by next_start.
      [ "$why" = down ] && ! asked_to_end
      return
      ;;
    restart)
      put wanted up
      failures=0
      return 0
      ;;
    trial)
      trial_failed "not healthy within $plan_deadline s, last stage: ${stage:-none}"
      return 0
      ;;
  esac
  ended_by_itself
}

ended_by_itself() {
  if next_variant; then return 0; fi
  failures=$((failures + 1))
  restarts=$((restarts + 1))
  put state/restarts "$restarts"
  set_phase starting
  if [ "$failures" -le "$plan_restarts" ]; then
    back_off
    return
  fi
  vmm_said
  how="exit status $exit_status, last stage: ${stage:-none}$said"
  if [ -n "$on_trial" ]; then
    trial_failed "the VM ended $failures times, $how"
    failures=0
    return 0
  fi
  attention "gave up after $failures starts that never became healthy: $how"
  final=failed
  return 1
}

# A VMM that refuses its arguments is given the plan's next spelling of them.
next_variant() {
  [ -n "$plan_variant_exit" ] && [ "$exit_status" = "$plan_variant_exit" ] || return 1
  [ -r "$slot/argv.$((variant + 1))" ] || return 1
  variant=$((variant + 1))
  log "the VMM refused its arguments: trying variant $variant"
}

# 0, 1, 2, 4… seconds, interrupted by whoever wants the service down.
back_off() {
  delay=0
  step=$failures
  while [ "$step" -gt 1 ]; do
    delay=$((delay * 2))
    [ "$delay" -gt 0 ] || delay=1
    [ "$delay" -lt "$plan_backoff" ] || delay=$plan_backoff
    step=$((step - 1))
  done
  [ "$delay" -eq 0 ] || log "starting again in $delay s"
  uptime_now
  wait_until=$((now + delay))
  while [ "$now" -lt "$wait_until" ]; do
    if asked_to_end; then
      final=stopped
      return 1
    fi
    sleep 1
    uptime_now
  done
}

# asked_to_end: true when the VM shall stop now; sets $request (down, restart, signal) and $request_seconds.
asked_to_end() {
  request=''
  if [ -n "$asked" ]; then
    request=signal
    request_seconds=$plan_stop
    final=stopped
    return 0
  fi
  get wanted
  case $value in
    down\ * | restart\ *)
      request=${value%% *}
      request_seconds=${value#* }
      is_number "$request_seconds" || request_seconds=60
      final=stopped
      return 0
      ;;
  esac
  return 1
}

# The guest's lines are not kept for ever. What is written between the last read and the emptying is lost: the guest
# repeats its health.
control_rotate() {
  size=$(wc -c <agent.out)
  size=${size##* }
  if is_number "$size" && [ "$size" -lt "$CONTROL_FILE" ]; then return; fi
  : >agent.out
  exec 8<&-
  exec 8<agent.out
  partial=''
}
