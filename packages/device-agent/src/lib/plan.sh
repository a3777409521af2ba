# The plan of a slot: `launch` (KEY VALUE lines from a closed list) and argv.1…n (one argument a line).
# shellcheck shell=sh

# read_plan SLOT: sets the plan_* variables; fails with $plan_error where the plan cannot be followed as written.
read_plan() {
  plan_error=''
  plan_release=''
  plan_deadline=''
  plan_stop=''
  plan_restarts=''
  plan_log_limit=''
  plan_backoff=60
  plan_trial_spacing=5
  plan_log_interval=30
  plan_variant_exit=''
  plan_schema=''
  plan_control=stdio
  plan_extended=no
  plan_variants=' '
  if ! [ -r "$1/launch" ]; then
    plan_error="slot $1 holds no release"
    return 1
  fi
  while read -r key plan_value; do
    read_plan_line "$key" "$plan_value" || return 1
  done <"$1/launch"
  case :$plan_schema:$plan_release:$plan_deadline:$plan_stop:$plan_restarts:$plan_log_limit: in
    *::*)
      plan_error="slot $1: the launch plan is not complete"
      return 1
      ;;
  esac
}

read_plan_line() {
  case $1 in
    deadline | stop | restarts | log-limit | backoff-max | trial-spacing | log-interval | variant-exit)
      if ! is_number "$2"; then
        plan_error="launch plan: '$1' is no number: '$2'"
        return 1
      fi
      ;;
  esac
  case $1 in
    schema) plan_schema=$2 && [ "$2" = 1 ] ;;
    service) [ "$2" = "$service" ] ;;
    release) plan_release=$2 ;;
    deadline) plan_deadline=$2 ;;
    stop) plan_stop=$2 ;;
    restarts) plan_restarts=$2 ;;
    log-limit) plan_log_limit=$2 ;;
    backoff-max) plan_backoff=$2 ;;
    log-interval) plan_log_interval=$2 ;;
    trial-spacing) plan_trial_spacing=$2 ;;
    variant-exit) plan_variant_exit=$2 ;;
    control)
      plan_control=$2
      case $2 in stdio | file) ;; *) false ;; esac
      ;;
    extended-exit)
      plan_extended=$2
      case $2 in yes | no) ;; *) false ;; esac
      ;;
    variant)
      plan_variants="$plan_variants${2%% *}:${2##* } "
      [ "$2" = "${2%% *} ${2##* }" ] && is_number "${2%% *}" && is_number "${2##* }"
      ;;
    # These are the network's, this one is trial-data.sh's, and these are read by check_files.
    address | mac | publish | tap | format | need | file) ;;
    *)
      plan_error="launch plan: unknown key '$1'"
      return 1
      ;;
  esac || {
    plan_error="launch plan: '$1 $2' is not for this launcher or service"
    return 1
  }
}

# plan_identity SLOT: sets $plan_id, one digest of all that a VM of this slot is started by.
plan_identity() {
  plan_id=$(set +f && cat "$1/launch" "$1"/argv.* | sha256sum)
  plan_id=${plan_id%% *}
}

# plan_changed SLOT: the VM that runs was started by another plan. One from before that was recorded is let be.
plan_changed() {
  get state/plan || return 1
  plan_identity "$1"
  [ "$value" != "$plan_id" ]
}

# check_files SLOT: every file that the plan needs is there (`need PATH`), and what was built is what lies here
# (`file SHA256 PATH`).
check_files() {
  plan_error=''
  while read -r key plan_value; do
    case $key in
      need)
        [ -e "$plan_value" ] && continue
        plan_error="$plan_value is missing"
        return 1
        ;;
      file)
        want=${plan_value%% *}
        path=${plan_value#* }
        if is_intact "$want" "$path"; then continue; fi
        plan_error="damaged in the store: $path"
        return 1
        ;;
    esac
  done <"$1/launch"
}
