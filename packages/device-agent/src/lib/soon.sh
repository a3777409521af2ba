# What will need attention soon, where somebody is told of it (notify.sh): a data disk that fills, a key or a certificate
# near its end, what the workstation left to be said later, an Android that was updated. `state/soon` of a service and of
# the keeper holds it, in words that stay the same meanwhile: each other text is another message.
# shellcheck shell=sh

# Rounds of the keeper between two looks: each is some processes.
SOON_ROUNDS=30
# Days before the end of a node's key, and of a certificate, as in `status`.
SOON_KEY=30
SOON_CERTIFICATE=21
SOON_FULL='the data disk is nearly full'

# soon_watch: once a round of the keeper.
soon_watch() {
  [ -r "$root/notify/settings" ] && soon_due || return 0
  soon_wall=$(date +%s)
  [ "$soon_wall" -ge "$CLOCK_FLOOR" ] || return 0
  soon_key=$(soon_day $SOON_KEY) && soon_certificate=$(soon_day $SOON_CERTIFICATE) || return 0
  each_service soon_service
  soon_device
}

soon_due() {
  [ $((rounds % SOON_ROUNDS)) -eq 1 ]
}

# soon_day DAYS: the date in so many days, as the number YYYYMMDD.
soon_day() {
  date -u -d "@$((soon_wall + $1 * 86400))" +%Y%m%d
}

soon_service() {
  soon=''
  soon_data
  # STATE ADDRESS NAME EXPIRY… or STATE EXPIRY…, and STATE NAME EXPIRY… (docs/formats.md, "Tailnet").
  get state/tailnet
  # shellcheck disable=SC2086
  set -- $value
  case ${1:-} in
    running) soon_end "${4:-}" "$soon_key" "its node's key in the tailnet ends on" ;;
    expired) soon_end "${2:-}" "$soon_key" "its node's key in the tailnet ended on" ;;
  esac
  get state/https
  # shellcheck disable=SC2086
  set -- $value
  [ "${1:-}" != on ] || soon_end "${3:-}" "$soon_certificate" 'its certificate ends on'
  # EPOCH TEXT, compared in tens of seconds, which are numbers that is_number knows.
  if get reminder && is_number "${value%%? *}" && [ "${value%%? *}" -le "${soon_wall%?}" ]; then
    soon_add "${value#* }"
  fi
  soon_note
}

# soon_data: SIZE FREE, compared in megabytes. Below a tenth it is nearly full, until 15 % are free: it never goes to and
# fro at the edge.
soon_data() {
  get state/soon
  soon_least=10
  case $value in *"$SOON_FULL"*) soon_least=15 ;; esac
  get state/data
  # shellcheck disable=SC2086
  set -- $value
  [ $# -eq 2 ] || return 0
  soon_megabytes "$1"
  soon_size=$megabytes
  soon_megabytes "$2"
  [ -n "$soon_size" ] && [ -n "$megabytes" ] && [ $((soon_size * soon_least / 100)) -gt "$megabytes" ] || return 0
  soon_add "$SOON_FULL"
}

# soon_megabytes BYTES: sets $megabytes, empty where that is no number or more than mksh counts with.
soon_megabytes() {
  megabytes=0
  case $1 in
    '' | *[!0-9]* | ??????????????*) megabytes='' ;;
    ???????*) megabytes=${1%??????} ;;
  esac
}

# soon_end ISO-8601 LIMIT TEXT
soon_end() {
  soon_date=${1%%T*}
  case $soon_date in [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]) ;; *) return 0 ;; esac
  soon_month=${soon_date#*-}
  [ "${soon_date%%-*}${soon_month%-*}${soon_month#*-}" -gt "$2" ] || soon_add "$3 $soon_date"
}

soon_add() {
  soon="$soon${soon:+; }$1"
}

soon_note() {
  if [ -n "$soon" ]; then note_state soon "$soon"; else rm -f state/soon; fi
}

# soon_device: `platform.sh` prints what stood in `platform` at the last deploy. That changes with a boot alone, and so
# with a keeper, so it is asked again only while the two differ.
soon_device() {
  soon=''
  if get "$root/platform" && [ "$value" != "${soon_platform:-}" ]; then
    soon_platform=$(sh "$root/platform.sh" 2>/dev/null 9>&-) || soon_platform=$value
    [ "$value" = "$soon_platform" ] ||
      soon_add 'platform changed: Android or its virtualization module was updated since the last deploy; deploy again'
  fi
  soon_note
}
