# Variants of the VMM's arguments (argv.1…n): spellings of other releases of the VMM, then fewer CPUs. The one that
# brought the guest to health is remembered in state/variant, with the plan that it belongs to.
# shellcheck shell=sh

# choose_variant SLOT: sets $variant to the one that was good last, else to the first.
choose_variant() {
  tried=' '
  variant=1
  argv_digest "$1"
  get state/variant || return 0
  remembered=${value%% *}
  [ "$value" = "$remembered $plan_digest" ] && [ -r "$1/argv.$remembered" ] || return 0
  variant=$remembered
}

# argv_digest SLOT: sets $plan_digest to one digest of all variants.
argv_digest() {
  folder=$1
  shift
  while [ -r "$folder/argv.$(($# + 1))" ]; do set -- "$@" "$folder/argv.$(($# + 1))"; done
  plan_digest=$(cat "$@" </dev/null | sha256sum)
  plan_digest=${plan_digest%% *}
}

remember_variant() {
  note_state variant "$variant $plan_digest"
}

# next_variant: another one where this one did not do; fails where there is none, or where it is not to blame.
next_variant() {
  if [ -n "$plan_variant_exit" ] && [ "$exit_status" = "$plan_variant_exit" ]; then
    vmm_said
    why_variant="the VMM refused the arguments of variant $variant$said"
    most_cpus=''
  elif [ -z "$guest_boot" ] && [ "$exit_status" != 0 ] && [ "$exit_status" != unknown ]; then
    variant_cpus "$variant"
    [ -n "$cpus" ] || return 1
    why_variant="variant $variant ($cpus CPUs) ended before the guest spoke: $reason"
    most_cpus=$((cpus - 1))
  else
    return 1
  fi
  tried="$tried$variant "
  candidate=0
  while candidate=$((candidate + 1)) && [ -r "$slot/argv.$candidate" ]; do
    case $tried in *" $candidate "*) continue ;; esac
    if [ -n "$most_cpus" ]; then
      variant_cpus "$candidate"
      if [ -z "$cpus" ] || [ "$cpus" -gt "$most_cpus" ]; then continue; fi
    fi
    variant=$candidate
    log "$why_variant: trying variant $variant"
    return 0
  done
  log "$why_variant: there is no other one to try"
  # After a pause all of them are worth a try again: an update of the VMM may be half done.
  [ -n "$most_cpus" ] || tried=' '
  return 1
}

# variant_cpus N: sets $cpus to what the plan says of it, empty where it says nothing.
variant_cpus() {
  cpus=''
  case $plan_variants in *" $1:"*) cpus=${plan_variants#*" $1:"} ;; esac
  cpus=${cpus%% *}
}
