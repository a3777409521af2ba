# The supervisor: starts the VM, watches it, starts it again, and gives up loudly.
# shellcheck shell=sh

# Readings of the channel until the past of an adopted VM is behind us: more lines than agent.out ever holds.
CATCH_UP=500

supervise() {
  asked=''
  trap 'asked=signal' TERM INT
  trap '' HUP
  read_device_conf
  detach
  take_lock || die 1 "another launcher supervises $service"
  self_pid
  read_before
  # One that takes over from another changes nothing of what is known.
  if [ -z "$before" ]; then
    rm -f state/phase state/attention
    put state/restarts 0
  fi
  rm -f state/halt
  put state/launcher-agent "$own"
  record launcher- "$self" || die 1 "cannot write state of $service"
  final=failed
  failures=0
  get state/restarts
  restarts=${value:-0}
  checked_slot=''
  listen_only=''
  log "launcher $own supervises $service"
  if get state/launcher-refused; then
    attention "$value"
    rm -f state/launcher-refused
  fi

  uptime_now
  ended=yes
  if may_begin && { adopt || next_start; }; then ended=''; fi
  while [ -z "$ended" ]; do
    watch
    after_end && next_start || ended=yes
  done
  if [ "$final" = failed ] && get state/full; then
    attention "host full: $value MiB are free, $device_reserve MiB are kept in reserve"
  fi
  log "launcher ends: $service is $final"
  set_phase "$final"
  notify_watch
}

# Fails where the device does not let any service run.
may_begin() {
  if ! net_conf; then
    attention "$net_error"
    return 1
  fi
  rm -f state/full
  if host_is_full; then
    put state/full "$free"
    asked=signal
  fi
  keeper_ensure
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
    if [ "$request" != restart ]; then
      ends_as_asked
      return 1
    fi
    starts_anew
  fi
  choose_slot
  begin_slot
}

# What was asked for may be another plan in the same slot. A stop that was asked for since then stays asked for.
starts_anew() {
  get wanted
  case $value in restart\ *) put wanted up ;; esac
  checked_slot=''
}

begin_slot() {
  if ! read_plan "${slot:-none}"; then
    refuse_slot "$plan_error"
    return
  fi
  if ! settle_data; then
    attention "$data_error"
    final=failed
    return 1
  fi
  # Once a slot and supervisor: a restart after a crash shall not wait for it.
  if [ "$checked_slot" != "$slot" ]; then
    if ! check_files "$slot"; then
      refuse_slot "$plan_error"
      return
    fi
    checked_slot=$slot
    choose_variant "$slot"
  fi
  if ! copy_for_trial; then
    [ -n "$data_error" ] || return 1
    refuse_slot "$data_error"
    return
  fi
  if ! network_comes; then
    [ -n "$no_network" ] || return 1
    failures=0
    refuse_slot "no network for the guest: $net_error"
    return
  fi
  new_boot_logs
  boot_vm
}

# The guest's part of the network, tried as often as a start. Fails with $no_network where it was given up.
network_comes() {
  no_network=''
  until net_attach "$PWD" "$slot"; do
    failures=$((failures + 1))
    log "no network for the guest: $net_error"
    if [ "$failures" -gt "$plan_restarts" ]; then
      no_network=yes
      return 1
    fi
    back_off "$failures" || return
  done
}

network_gone() {
  net_withdraw "$PWD" "$slot"
  net_detach "$PWD" "$slot"
}

boot_vm() {
  uptime_now
  put state/slot "$slot"
  put state/release "$plan_release"
  plan_identity "$slot"
  put state/plan "$plan_id"
  put state/health starting
  set_phase starting
  healthy_once=''
  overdue_at=$((now + plan_deadline))
  launcher_gets_time
  log "starting slot $slot${on_trial:+ on trial} (release $plan_release)"
  if with_arguments "$slot/argv.$variant" vm_start; then
    net_publish "$PWD" "$slot"
    return 0
  fi
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
  if ! adopt_channel; then
    # Its record must not go while it runs: another one would be started on the same disk.
    if alive ''; then die 1 "VM $pid runs and cannot be taken over"; fi
    ended_alone
    return 1
  fi
  note_state health unknown
  if ! read_plan "${slot:-none}"; then
    log "stopping VM $pid, which an earlier launcher left: $plan_error"
    vm_stop 60
    return 1
  fi
  log "adopting VM $pid of slot $slot"
  # A trial that has not begun is of a deploy since, and of another VM.
  boot_id
  if read_trial && [ "$trial_slot" = "$slot" ] && [ "$trial_boot" = "$boot" ]; then begin_trial; fi
  adopt_greeting
  checked_slot=$slot
  choose_variant "$slot"
  healthy_once=''
  overdue_at=$((now + plan_deadline))
  [ -n "$before" ] || set_phase starting
}

# A hello that came while no launcher lived was answered by nobody, and a closed guest looks healthy from inside. To be
# opened twice changes nothing. A guest that has yet to say hello is answered then.
adopt_greeting() {
  [ -n "$guest_boot" ] || return 0
  send "time $(date +%s)"
  [ -n "$on_trial" ] || open_guest
}

# What a VM left that ended while nobody supervised it.
ended_alone() {
  [ -e state/pid ] || return 0
  vm_status || exit_status=unknown
  read_plan "${slot:-none}"
  exit_reason "$exit_status"
  put state/exit-reason "$reason"
  log "the VM ended while nobody supervised it: $reason"
  vm_forget
  network_gone
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
  # All of it, however long the VM has run: old health must not count as news. A guest that never ends is not waited for.
  catching_up=$CATCH_UP
  budget=1
  control_read
  while [ "$budget" -eq 0 ] && [ "$catching_up" -gt 0 ]; do
    catching_up=$((catching_up - 1))
    control_read
  done
  listen_only=''
}

# Until the VM is gone, for whatever reason; $why names ours, empty where it went by itself.
watch() {
  why=''
  uptime_now
  logs_at=$now
  clock_begin
  while :; do
    uptime_now
    clock_watch
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
    launcher_overdue
    watch_deadline
    update_launcher
    keeper_ensure
    if [ $((now - logs_at)) -ge "$plan_log_interval" ]; then
      logs_at=$now
      rotate_all
      control_rotate
      clock_look
    fi
    clock_send
    ask_watch
    if [ -n "$healthy_once" ]; then sleep 1; else sleep "$nap"; fi
  done
}

# A start that is no trial is left running when it does not become healthy: the data is there, and the guest tries on.
watch_deadline() {
  if [ -z "$healthy_once" ] && [ -z "$on_trial" ] && [ "$now" -ge "$overdue_at" ]; then
    healthy_once=late
    # As that the release after this one was taken back.
    told_before=''
    if get state/attention; then told_before=$value; fi
    value=''
    get state/stage
    attention "${told_before:+$told_before; }not healthy $plan_deadline s after the start, last stage: ${value:-none}"
  fi
}

became_healthy() {
  [ "$healthy_once" = yes ] && return
  # Better late than never: what was said about it is no longer true.
  if [ "$healthy_once" = late ]; then
    rm -f state/attention
    [ -z "$told_before" ] || put state/attention "$told_before"
  fi
  healthy_once=yes
  failures=0
  # Last, so that who sees it running finds the rest.
  remember_variant
  launcher_proven
  set_phase running
}

# The verdict on a VM that is gone. Fails when the supervisor shall end.
after_end() {
  # Its last words tell whether it spoke at all, and change nothing else.
  listen_only=yes
  control_read
  listen_only=''
  control_close
  stage=''
  if get state/stage; then stage=$value; fi
  exit_reason "$exit_status"
  put state/exit-reason "$reason"
  log "VM ended: exit status $exit_status ($reason), last stage ${stage:-none}"
  vm_forget
  network_gone
  put state/health unknown
  case $why in
    down | signal)
      ends_as_asked
      # A start that was asked for while the guest was stopping is done by next_start.
      [ "$why" = down ] && ! asked_to_end
      return
      ;;
    restart)
      starts_anew
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

ends_as_asked() {
  final=stopped
  [ ! -e state/full ] || final=failed
}

ended_by_itself() {
  if next_variant; then return 0; fi
  failures=$((failures + 1))
  pauses=$failures
  # A guest that restarts itself is let; one that broke did not come down by chance.
  case $reason in
    reset) pauses=1 ;;
    crash | 'guest panic' | watchdog) pauses=$((failures + 1)) ;;
  esac
  restarts=$((restarts + 1))
  # In this order: who has seen that it was started again does not take it for the one that ran before.
  set_phase starting
  put state/restarts "$restarts"
  if [ "$failures" -le "$plan_restarts" ]; then
    back_off "$pauses"
    return
  fi
  vmm_said
  how="exit status $exit_status, last stage: ${stage:-none}$said"
  case $how in "$reason,"*) ;; *) how="$reason, $how" ;; esac
  if [ -n "$on_trial" ]; then
    trial_failed "the VM ended $failures times, $how"
    failures=0
    return 0
  fi
  attention "gave up after $failures starts that never became healthy: $how"
  final=failed
  return 1
}

# back_off N: 0, 1, 2, 4… seconds, interrupted by whoever wants the service down.
back_off() {
  delay=0
  step=$1
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
      ends_as_asked
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
    request_seconds=${plan_stop:-60}
    if get state/halt && is_number "$value"; then request_seconds=$value; fi
    return 0
  fi
  get wanted
  case $value in
    down\ * | restart\ *)
      request=${value%% *}
      request_seconds=${value#* }
      is_number "$request_seconds" || request_seconds=60
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
