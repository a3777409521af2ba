# The control channel (docs/formats.md): the guest's lines are read from agent.out on descriptor 8, our verbs go into
# the FIFO agent.in on descriptor 7. Nobody but the launcher touches these files.
# shellcheck shell=sh

# Longest line of the protocol, in bytes.
CONTROL_LINE=512
# Health that is older counts as unknown, in seconds of uptime.
HEALTH_AGE=15
# A guest whose terminal was not set up yet ends its lines with this too.
CR=$(printf '\r')
# agent.out is emptied at this size, in bytes.
CONTROL_FILE=1000000

# A fresh channel: what an earlier machine left unread in the FIFO must not reach the next one.
control_create() {
  rm -f agent.in state/guest-boot state/stage state/tailnet state/https state/silent state/answer state/closed ask
  mkfifo agent.in && : >agent.out || return 1
  guest_boot=''
  listen_only=''
  control_open
}

# control_open: also used to adopt a running VM, whose lines so far tell nothing about its health now.
control_open() {
  exec 7<>agent.in 8<agent.out
  partial=''
  overlong=''
  health=''
  health_at=$now
  silent=''
  [ ! -e state/silent ] || silent=yes
}

control_close() {
  exec 7>&- 8<&-
}

# send VERB: only a few a boot, and never to a guest that may not be reading: a full FIFO would block us.
send() {
  printf '%s\n' "$1" >&7
}

# Reads the complete lines that have come, a bounded number, so that a guest cannot keep us from our other work. Leaves
# $budget at 0 where there may be more.
control_read() {
  budget=200
  while [ "$budget" -gt 0 ]; do
    budget=$((budget - 1))
    if IFS= read -r piece <&8; then
      if [ -z "$overlong" ] && [ ${#partial} -le $CONTROL_LINE ]; then control_line "$partial$piece"; fi
      partial=''
      overlong=''
    else
      partial=$partial$piece
      if [ ${#partial} -gt $CONTROL_LINE ]; then
        partial=''
        overlong=yes
      fi
      break
    fi
  done
  if [ -z "$silent" ] && [ -n "$guest_boot" ] && [ -z "$listen_only" ] && [ $((now - health_at)) -gt $HEALTH_AGE ]; then
    control_silent
  fi
}

# A guest that said hello, and says nothing any more: it hangs, or what speaks for it does.
control_silent() {
  health=''
  silent=yes
  note_state health unknown
  put state/silent $(($(date +%s) - now + health_at))
  log "the guest says nothing any more"
  ask_give_up
}

# control_line LINE: `BOOT_ID SEQ KEY VALUE`
control_line() {
  [ ${#1} -le $CONTROL_LINE ] || return 0
  control_words=${1%"$CR"}
  case $control_words in *[!\ -~]*) return 0 ;; esac
  # shellcheck disable=SC2086
  set -- $control_words
  [ $# -ge 3 ] && is_number "$2" || return 0
  line_boot=$1
  key=$3
  shift 3
  if [ "$key" = hello ]; then
    control_hello "$line_boot" "${1:-}"
    return
  fi
  # A line of another boot says nothing about this one.
  [ "$line_boot" = "$guest_boot" ] || return 0
  case $key in
    stage) note_state stage "$*" ;;
    health) control_health "$*" ;;
    tailnet) note_state tailnet "$*" ;;
    https) note_state https "$*" ;;
    data) note_state data "$*" ;;
    answer) control_answer "$@" ;;
    beat) clock_hear "${1:-}" ;;
    bye) log "the guest says good-bye" ;;
    # pong: that it came is all there is to know.
  esac
}

control_hello() {
  [ "$1" = "$guest_boot" ] && return
  guest_boot=$1
  health_at=$now
  put state/guest-boot "$1"
  if [ "$2" != 1 ]; then
    attention "the guest speaks control protocol '$2', this launcher speaks 1"
    return
  fi
  [ -n "$listen_only" ] && return
  send "time $(date +%s)"
  [ -n "$on_trial" ] || open_guest
}

# open_guest: lets clients in, unless `closed` says why not: a restore that is not finished. Once that file is gone, the
# next report of a healthy guest opens it.
open_guest() {
  if [ -e closed ]; then
    put state/closed yes
  else
    rm -f state/closed
    send open
  fi
}

control_health() {
  [ -n "$listen_only" ] && return
  case $1 in
    ok)
      health=ok
      ;;
    starting | bad\ *)
      health=$1
      ;;
    *) return 0 ;;
  esac
  health_at=$now
  if [ -n "$silent" ]; then
    silent=''
    rm -f state/silent
    # Whatever held it up may have held its clock too.
    clock_due=yes
    log "the guest speaks again"
  fi
  note_state health "$1"
  if [ "$health" = ok ]; then
    became_healthy
    [ ! -e state/closed ] || [ -e closed ] || open_guest
  fi
  [ -z "$on_trial" ] || trial_health
}
