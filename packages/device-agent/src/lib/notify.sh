# Tells the owner what needs attention, by a message to where ROOT/notify/settings says (docs/formats.md, "Messages").
# The keeper looks, and a process of its own sends: whatever a server does, nobody waits for it.
# shellcheck shell=sh

# Tries for one message, over restarts too, and the pause after the first failure, which doubles with each: 2.5 minutes
# in all, and what the tries themselves take.
NOTIFY_TRIES=6
NOTIFY_PAUSE=5
# Seconds after the first word: what comes with it is one message.
NOTIFY_SETTLE=3
NOTIFY_LOG=100000
# Where Android has its authorities, since version 14 and before.
NOTIFY_AUTHORITIES=/apex/com.android.conscrypt/cacerts:/system/etc/security/cacerts

# notify_text: sets $notice to what a person has to know now, empty where that is nothing.
notify_text() {
  notice=''
  set +f
  set -- "$root"/services/*
  set -f
  for notify_folder; do
    notify_add "${notify_folder##*/}" "$notify_folder/state/attention"
    notify_add "${notify_folder##*/}" "$notify_folder/state/soon"
  done
  notify_add 'this device' "$root/keeper/state/attention"
  notify_add 'this device' "$root/keeper/state/soon"
  notify_add network "$root/net/state/attention"
}

notify_add() {
  get "$2" && [ -n "$value" ] || return 0
  notice="$notice${notice:+; }$1: $value"
}

# notify_due: true where the owner is to be told, and it was not given up; sets $notice.
notify_due() {
  [ -r "$root/notify/settings" ] || return 1
  notify_text
  get "$root/notify/told"
  [ "$value" != "$notice" ] || return 1
  ! get "$root/notify/failed" || [ "$value" != "=$notice" ]
}

# notify_watch: once a round of the keeper, and when somebody ends whose word may be the last one.
notify_watch() {
  notify_due || return 0
  if alive '' "$root/notify/state"; then return 0; fi
  choose_launcher "$launcher"
  setsid sh "$chosen" tell "$root" </dev/null >>"$root/notify/log" 2>&1 6>&- 7>&- 8>&- 9>&- &
}

# tell_owner: the process that sends. Ends when all is told, or given up.
tell_owner() {
  cd "$root/notify" 2>/dev/null && mkdir -p state || exit 0
  read_device_conf
  detach
  self_pid
  exec 9<>lock
  flock -n 9 9<&9 || exit 0
  rotate log $NOTIFY_LOG
  record '' "$self"
  notify_rest $NOTIFY_SETTLE
  while notify_due; do
    while notify_due; do notify_try; done
    # What came in between was left to us.
    rm -f state/pid
    ! notify_due || record '' "$self"
  done
  rm -f state/pid
}

notify_try() {
  tries=0
  if get tries && [ "${value#* }" = "$notice" ]; then tries=${value%% *}; fi
  if [ "$tries" -ge $NOTIFY_TRIES ]; then
    log "given up after $tries tries"
    put failed "=$notice"
    return
  fi
  # Before it is tried: one that is killed has tried.
  tries=$((tries + 1))
  put tries "$tries $notice"
  notify_words=${notice:-nothing needs attention any more}
  if notify_send; then
    log "told: $notify_words"
    put told "$notice"
    rm -f tries failed problem
    return
  fi
  log "not told: $problem"
  put problem "$problem"
  [ "$tries" -lt $NOTIFY_TRIES ] || return 0
  notify_pause=$NOTIFY_PAUSE
  while [ "$tries" -gt 1 ]; do
    notify_pause=$((notify_pause * 2))
    tries=$((tries - 1))
  done
  notify_rest $notify_pause
}

notify_rest() {
  sleep "$1" 9>&-
}

# notify_send: fails with $problem, which never holds the address. A phone shows what it sends, too.
notify_send() {
  notify_read
  if [ "$notify_by" = phone ]; then
    notify_show
    return
  fi
  if [ "$device_kind" = adb ] && [ "$tries" -eq 1 ]; then
    notify_show || log "not shown: $problem"
  fi
  if [ -z "$device_gvproxy" ] || ! [ -r "$root/store/$device_gvproxy" ]; then
    problem='the program that sends is not on this device: the next deploy brings it'
    return 1
  fi
  if ! stored_program "$device_gvproxy"; then
    problem='the program that sends is damaged: deploy again'
    return 1
  fi
  if [ "$device_kind" = adb ]; then
    SSL_CERT_DIR=$NOTIFY_AUTHORITIES
    export SSL_CERT_DIR
  fi
  problem=$(printf '%s\n' "$notify_words" | "$stored" -notify settings 2>&1 9>&-) && return 0
  problem=${problem##*"$LF"}
  problem=${problem##*not sent: }
  problem=${problem:-the program that sends was killed}
  return 1
}

# notify_read: sets what the settings say: $notify_by and $notify_title.
notify_read() {
  notify_by=''
  notify_title=Sovereign
  while read -r notify_key notify_value; do
    case $notify_key in
      ntfy | webhook | phone) notify_by=$notify_key ;;
      title) notify_title=$notify_value ;;
    esac
  done <settings
}

# notify_show: on Android's own screen, in the place of what it showed before (AOSP, NotificationShellCmd.java: a tag's
# notification is replaced; root may).
notify_show() {
  problem=$(cmd notification post -S bigtext -t "$notify_title" sovereign "$notify_words" 2>&1 9>&-) && return 0
  problem="Android does not show it: ${problem##*"$LF"}"
  return 1
}

# notify_end: for whoever takes everything back.
notify_end() {
  if alive '' "$root/notify/state"; then kill "$pid"; fi
}
