# Logs: copied and emptied when they are large, since their writers hold them open (in append mode).
# shellcheck shell=sh

# rotate FILE LIMIT: keeps one older part as FILE.1
rotate() {
  [ -f "$1" ] || return 0
  size=$(wc -c <"$1") || return 0
  # Sizes above 2^31 do not fit mksh's arithmetic: anything of ten digits or more is too large in any case.
  size=${size##* }
  if is_number "$size" && [ "$size" -le "$2" ]; then return 0; fi
  cp "$1" "$1.1" && : >"$1"
}

rotate_all() {
  for file in console.log vmm.log early.log launcher.log; do
    rotate "log/$file" "$plan_log_limit"
  done
}

# Each start has logs of its own; those of the start before are kept as *.before.log.
new_boot_logs() {
  for file in console early vmm; do
    rm -f "log/$file.log.1"
    if [ -f "log/$file.log" ]; then mv -f "log/$file.log" "log/$file.before.log"; fi
  done
}

# vmm_said: sets $said to the last words of the VMM, for whoever asks why it ended; empty where it had none.
vmm_said() {
  said=$(tail -n 1 log/vmm.log 2>/dev/null) || said=''
  case $said in '' | *[!\ -~]*) said='' ;; *) said=", the VMM said: $said" ;; esac
}
