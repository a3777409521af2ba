# The virtual machine's process.
#
#   supervisor (this shell)
#   `- wrapper   a shell that only waits: it writes state/exit, so that the exit status outlives the supervisor
#      |- guard  a shell that looks now and then whether anybody is left who supervises
#      `- VMM    recorded by pid and start time before it is executed: there is no moment when it runs unknown
# shellcheck shell=sh

# Seconds between two looks of the guard.
VM_GUARD=10

# Seconds in which somebody has to see that the VM ended.
VM_SEEN=8

# Seconds that its wrapper has to write how a VM ended, on a busy machine too; without a wrapper, that it takes to notice.
VM_WRITES=6

# A VM that was neither recorded nor ended after this many seconds of uptime is given up.
VM_APPEARS=20

# with_arguments FILE COMMAND…: runs COMMAND with the arguments of the file, one a line, appended.
with_arguments() {
  argument_file=$1
  shift
  while IFS= read -r argument || [ -n "$argument" ]; do
    set -- "$@" "$argument"
  done <"$argument_file"
  "$@"
}

vm_start() {
  # Two on one data disk would destroy it, and not every crosvm locks it.
  if alive ''; then die 1 "VM $pid still runs"; fi
  vm_forget
  rm -f state/exit
  control_create || return 1
  vm_gone_at=''
  vm_starts=$((${vm_starts:-0} + 1))
  vm_token=$self-$now-$vm_starts
  put state/vm "$vm_token" || return 1
  (
    trap '' HUP INT
    # The lock and the channel belong to the supervisor: whoever comes after it must be able to take them.
    exec 7>&- 8<&- 9>&-
    # When the supervisor tried is nothing to us.
    keeper_spawn_at=0
    vm_guard &
    guard=$!
    # Now: the guard has to hear it from its first moment on.
    trap '' TERM
    (
      trap - HUP INT TERM
      self_pid
      # One that was given up before it came this far is not to be any more.
      get state/vm
      [ "$value" = "$vm_token" ] && record '' "$self" || exit 125
      # A VMM that opens the two files by itself has nothing else to read, and talks for us alone. It is handed a writing
      # end of its own: crosvm reads no more after the first end of file, and a launcher that is killed or updated
      # would leave it without a writer.
      if [ "$plan_control" = file ]; then exec "$@" </dev/null >>log/vmm.log 2>&1 7<>agent.in; fi
      exec "$@" <>agent.in >>agent.out 2>>log/vmm.log
    ) &
    wait $!
    vmm_status=$?
    kill "$guard" 2>/dev/null
    put state/exit "$vmm_status $vm_token"
    # A shell cannot listen to what was ignored when it was started, and the keeper has to.
    trap - HUP INT TERM
    # Until somebody has seen the end: whoever is killed with the VM looks alive for a moment, and a child of theirs may
    # hold a lock.
    uptime_now
    give_up_at=$((now + VM_SEEN))
    while get state/vm && [ "$value" = "$vm_token" ] && [ "$now" -lt $give_up_at ]; do
      vm_cared_for
      sleep "$nap"
      uptime_now
    done
  ) </dev/null &
}

# vm_guard: ends with the wrapper, and where that was killed with its VM.
vm_guard() {
  guard_nap=''
  trap 'kill $guard_nap 2>/dev/null; exit' TERM
  while :; do
    sleep $VM_GUARD &
    guard_nap=$!
    wait $guard_nap
    get state/vm
    [ "$value" = "$vm_token" ] || return 0
    if [ -e state/pid ] && ! alive ''; then return 0; fi
    vm_cared_for
  done
}

# vm_cared_for: launcher and keeper bring back each other. Where both were killed a keeper is started, which brings back
# the launcher. Fails where somebody holds a lock: whoever stops the service just now its own, whoever stops the device
# the keeper's.
vm_cared_for() {
  service_needs
  [ "$needs" = launcher ] || return 0
  is_free lock && is_free "$root/keeper/lock" || return 1
  uptime_now
  keeper_ensure "nobody supervises $service: starting a keeper"
}

# is_free LOCK
is_free() {
  (exec 9<>"$1" && flock -n 9 9<&9) 2>/dev/null
}

# vm_forget: what is known of a VM that is gone.
vm_forget() {
  rm -f state/pid state/start state/boot state/vm state/tailnet
}

# vm_status: sets $exit_status to what the wrapper of the VM that was started last wrote; fails where it wrote nothing
# yet. The wrapper of one before may come late. One that an earlier launcher started has no name.
vm_status() {
  get state/exit || return 1
  exit_status=${value%% *}
  exit_token=${value#"$exit_status"}
  get state/vm
  [ "${exit_token# }" = "$value" ]
}

# vm_ended: true when the VM is gone; sets $exit_status to its status, or to `unknown`.
vm_ended() {
  alive '' && {
    vm_gone_at=''
    return 1
  }
  if vm_status; then return 0; fi
  # Not alive and no status: either it was not recorded yet, or its wrapper is about to write, or was killed too.
  [ -n "$vm_gone_at" ] || vm_gone_at=$now
  if [ -e state/pid ]; then grace=$VM_WRITES; else grace=$VM_APPEARS; fi
  [ $((now - vm_gone_at)) -ge $grace ] || return 1
  exit_status=unknown
}

# vm_stop SECONDS: asks the guest, then cuts the power. Returns when the VM is gone.
vm_stop() {
  set_phase stopping
  # What a guest says about its health while it stops changes nothing.
  listen_only=yes
  log "asking the guest to stop, at most $1 s"
  send stop
  if vm_wait "$1"; then
    log "the guest stopped, VM exit status $exit_status"
    return 0
  fi
  attention "the guest did not stop within $1 s: its power was cut"
  alive '' && kill -TERM "$pid"
  vm_wait 3 && return 0
  alive '' && kill -KILL "$pid"
  vm_wait 10 || die 1 "VM $pid cannot be killed"
}

# vm_wait SECONDS: true as soon as the VM is gone.
vm_wait() {
  uptime_now
  wait_until=$((now + $1))
  while ! vm_ended; do
    [ "$now" -lt "$wait_until" ] || return 1
    sleep "$nap"
    uptime_now
    control_read
  done
}
