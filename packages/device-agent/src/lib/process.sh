# Processes are known by pid, start time and the boot they belong to: a pid alone is used again.
# shellcheck shell=sh

# start_ticks PID: sets $ticks to field 22 of /proc/PID/stat (proc(5)); fails for what is gone or a zombie.
start_ticks() {
  ticks=''
  { IFS= read -r stat_line <"/proc/$1/stat"; } 2>/dev/null || return 1
  # The command's name, in brackets, may hold blanks; what follows the last bracket does not.
  # shellcheck disable=SC2086
  set -- ${stat_line##*) }
  case ${1:-Z} in Z | X) return 1 ;; esac
  shift 19
  ticks=$1
}

boot_id() {
  read -r boot </proc/sys/kernel/random/boot_id
}

# record OWNER PID: notes who the process is, as state/OWNERpid, OWNERstart and OWNERboot. OWNER is empty for the VM.
# The pid comes last, since it makes the record count.
record() {
  # What took over by exec is the same process: its record must not be missing for a moment.
  if alive "$1" && [ "$pid" = "$2" ]; then return; fi
  start_ticks "$2" || return 1
  boot_id
  rm -f "state/$1pid"
  put "state/$1boot" "$boot" && put "state/$1start" "$ticks" && put "state/$1pid" "$2"
}

# alive OWNER [FOLDER]: true while the process of this record runs; sets $pid. FOLDER is `state` unless it is given.
alive() {
  get "${2:-state}/$1pid" || return 1
  pid=$value
  is_number "$pid" && start_ticks "$pid" || return 1
  get "${2:-state}/$1start"
  [ "$value" = "$ticks" ] || return 1
  boot_id
  get "${2:-state}/$1boot"
  [ "$value" = "$boot" ]
}

# Sets $self to the pid of the shell that asks, also in a subshell, where $$ is the parent's.
self_pid() {
  read -r self _ </proc/self/stat
}
