# How the launcher speaks: one line for its log, one for whoever called it.
# shellcheck shell=sh

log() {
  printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*"
}

# die STATUS MESSAGE
die() {
  printf 'launcher: %s\n' "$2" >&2
  exit "$1"
}

# True for a number that mksh's 32-bit arithmetic can hold.
is_number() {
  case $1 in
    '' | *[!0-9]* | ??????????*) return 1 ;;
  esac
}
