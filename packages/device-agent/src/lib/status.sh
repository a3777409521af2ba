# `status`: everything about every service in one answer, as `SERVICE KEY VALUE` lines.
# shellcheck shell=sh

status_all() {
  status_device
  cd "$root/services" 2>/dev/null || return 0
  set +f
  set -- *
  set -f
  for service; do
    # A folder without slots is not ours, or its first deploy was interrupted; a VM that runs is always told of.
    [ -e "$service/current" ] || [ -e "$service/trial" ] || [ -e "$service/state/pid" ] || continue
    (cd "$service" && status_one)
  done
}

# What is no service's is told of the service `-`.
status_device() {
  if alive '' "$root/keeper/state"; then echo "- keeper $pid"; fi
  if get "$root/keeper/state/attention"; then echo "- attention $value"; fi
  if get "$root/notify/problem"; then echo "- attention the message of this was not sent: $value"; fi
  if net_conf; then net_status; else echo "- attention $net_error"; fi
}

status_one() {
  get state/phase
  phase=$value
  if alive launcher-; then
    say launcher "$pid"
    [ -n "$phase" ] || phase=$(phase_of_new_launcher)
  else
    phase=$(phase_without_launcher "${phase:-stopped}")
  fi
  say state "$phase"
  vm=''
  if alive ''; then
    vm=$pid
    say pid "$pid"
  fi
  for key in wanted current; do
    if get "$key"; then say "$key" "$value"; fi
  done
  if [ -e trial ]; then say trial yes; fi
  status_release "$phase"
  for key in stage restarts since exit exit-reason data attention; do
    if ! get "state/$key" || [ -z "$value" ]; then continue; fi
    # Behind the status stands which VM it was of.
    [ "$key" != exit ] || value=${value%% *}
    say "$key" "$value"
  done
  if get closed && [ -n "$value" ]; then say attention "$value"; fi
  # What was written before the supervisor or the VM was killed says nothing about now.
  get state/health
  case $phase:$vm in starting:?* | running:?*) ;; *) value=unknown ;; esac
  say health "${value:-unknown}"
  # Nor does what the guest said of the tailnet outlive its VM.
  for key in tailnet https silent; do
    if [ -n "$vm" ] && get "state/$key"; then say "$key" "$value"; fi
  done
}

# The release that runs, or where nothing runs the one that the next start boots.
status_release() {
  case $1 in
    starting | running | stopping | unknown)
      for key in slot release; do
        if get "state/$key"; then say "$key" "$value"; fi
      done
      return
      ;;
  esac
  get current
  slot=$value
  if get trial; then slot=${value%% *}; fi
  say slot "$slot"
  if read_plan "$slot"; then say release "$plan_release"; fi
}

# What is true while a supervisor has begun and has not said yet what it does.
phase_of_new_launcher() {
  if alive ''; then echo unknown; else echo starting; fi
}

# What is true when nobody supervises, whatever was written last.
phase_without_launcher() {
  if alive ''; then
    echo unknown
    return
  fi
  case $1 in
    stopped | failed) echo "$1" ;;
    *)
      # The keeper is about to bring it back.
      if is_wanted && alive '' "$root/keeper/state"; then
        echo starting
        return
      fi
      # Killed in this boot of the device, or gone with the one before.
      boot_id
      get state/launcher-boot
      if [ "$value" = "$boot" ]; then echo failed; else echo stopped; fi
      ;;
  esac
}

say() {
  printf '%s %s %s\n' "$service" "$1" "$2"
}
