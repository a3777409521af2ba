# `stop`: through the supervisor where one runs, else by our own hand.
# shellcheck shell=sh

# Time that cutting the power and writing the state may take after the guest's deadline, in seconds.
STOP_MARGIN=20

# stop_service SECONDS
stop_service() {
  put wanted "down $1" || die 1 "cannot write in $PWD"
  conf_as_far_as_possible
  uptime_now
  give_up_at=$((now + $1 + STOP_MARGIN))
  # The keeper may bring back a killed launcher meanwhile, which stops the service as well.
  while alive launcher- || ! take_lock; do
    uptime_now
    [ "$now" -lt "$give_up_at" ] || die 1 "the launcher of $service did not stop it: see $PWD/log"
    sleep "$nap"
  done
  stop_orphan "$1"
  dismiss_keeper
}

# A VM whose supervisor was killed is stopped like any other. The caller holds the service's lock.
stop_orphan() {
  final=stopped
  on_trial=''
  get state/slot
  slot=$value
  if adopt_channel; then
    vm_stop "$1"
    control_close
    vm_forget
    network_gone
  fi
  get state/phase
  [ -z "$value" ] || set_phase stopped
}
