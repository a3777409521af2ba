# ROOT/store: files by the SHA-256 of what is in them (docs/formats.md).
# shellcheck shell=sh

# is_intact SHA256 PATH: the file is there, and what was built.
is_intact() {
  [ -r "$2" ] || return 1
  have=$(sha256sum <"$2")
  [ "${have%% *}" = "$1" ]
}

# stored_program SHA256: sets $stored to the program's path in the store; fails where it is not there, or damaged.
stored_program() {
  stored=$root/store/$1
  is_intact "$1" "$stored" || return 1
  [ -x "$stored" ] || chmod 0755 "$stored"
}
