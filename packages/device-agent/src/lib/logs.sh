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

# Each start has a console log of its own; the one before is kept as console.before.log.
new_console_log() {
  for file in console early; do
    rm -f "log/$file.log.1"
    if [ -f "log/$file.log" ]; then mv -f "log/$file.log" "log/$file.before.log"; fi
  done
}
