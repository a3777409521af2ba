# Small files of one line each, replaced by rename, so that a reader sees the old value or the new one.
# shellcheck shell=sh

# put FILE VALUE
put() {
  printf '%s\n' "$2" >"$1.new" && mv -f "$1.new" "$1"
}

# get FILE: sets $value to the file's first line, empty where there is none.
get() {
  value=''
  [ -r "$1" ] || return 1
  { IFS= read -r value <"$1"; } 2>/dev/null || [ -n "$value" ]
}

# note_state KEY VALUE: writes state/KEY only when it changes, to spare the flash.
note_state() {
  if get "state/$1" && [ "$value" = "$2" ]; then return; fi
  put "state/$1" "$2"
}

# set_phase PHASE: what the service is doing, and since when (seconds since 1970).
set_phase() {
  get state/phase
  [ "$value" = "$1" ] && return
  put state/since "$(date +%s)"
  put state/phase "$1"
}

# Says something that a person has to know until the next start.
attention() {
  log "attention: $*"
  put state/attention "$*"
}

# Sets $now to the seconds since the machine started.
uptime_now() {
  read -r now _ </proc/uptime
  now=${now%.*}
}
