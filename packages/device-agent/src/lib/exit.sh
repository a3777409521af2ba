# Why a VM ended, in words.
# shellcheck shell=sh

# exit_reason STATUS: sets $reason. crosvm's words where the plan says that its statuses are the extended ones.
exit_reason() {
  case $plan_extended:$1 in
    yes:0) reason=stop ;;
    yes:32) reason=reset ;;
    yes:33) reason=crash ;;
    yes:34) reason='guest panic' ;;
    yes:35) reason='bad arguments' ;;
    yes:36) reason=watchdog ;;
    *:unknown) reason=unknown ;;
    *)
      reason="exit status $1"
      if is_number "$1" && [ "$1" -gt 128 ]; then reason="signal $(($1 - 128))"; fi
      ;;
  esac
}
