# All services of this device.
# shellcheck shell=sh

# each_service COMMAND: runs it once for each service, in the service's folder, with $service set; the working
# directory is the keeper's afterwards. What has no slots is not ours, or its first deploy was interrupted; a VM that
# runs is always told of.
each_service() {
  each_command=$1
  set +f
  set -- "$root"/services/*
  set -f
  for each_folder; do
    service=${each_folder##*/}
    case $service in *[!a-z0-9-]*) continue ;; esac
    [ -e "$each_folder/current" ] || [ -e "$each_folder/trial" ] || [ -e "$each_folder/state/pid" ] || continue
    cd "$each_folder" || continue
    "$each_command"
  done
  [ ! -d "$root/keeper" ] || cd "$root/keeper" || return
}

# service_needs: what the service in the working directory needs of the keeper, as $needs.
#   nothing    it is down, or was given up
#   watching   its launcher runs
#   launcher   it is wanted, or its VM runs, and nobody supervises it
#   room       it was stopped for want of space, and is still wanted
service_needs() {
  needs=nothing
  if alive launcher-; then
    needs=watching
    return
  fi
  if alive ''; then
    needs=launcher
    return
  fi
  is_wanted || return 0
  if get state/full; then
    needs=room
    return
  fi
  get state/phase
  case $value in
    stopped | failed)
      boot_id
      get state/launcher-boot
      [ "$value" != "$boot" ] || return 0
      ;;
  esac
  needs=launcher
}

is_wanted() {
  get wanted
  case $value in up | restart\ *) return 0 ;; esac
  return 1
}
