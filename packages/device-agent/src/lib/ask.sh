# Questions to the guest over the control channel, for which it needs no network (docs/formats.md, "Questions"). Whoever
# asks leaves `ID VERB WORD…` in the file `ask`; the supervisor, who alone speaks on the channel, passes it on and
# collects the answer in `state/answer`: the ID, the guest's lines, `end STATUS`.
# shellcheck shell=sh

# Longest answer, in lines.
ASK_LINES=200

# ask_guest SECONDS VERB WORD…: prints the guest's lines. Fails with 3 where no answer comes.
ask_guest() {
  ask_seconds=$1
  shift
  case "$*" in *[!A-Za-z0-9.:\ -]*) die 2 "no question to a guest: '$*'" ;; esac
  alive '' || die 3 "the virtual machine of $service does not run"
  alive launcher- || die 3 "nobody supervises $service"
  self_pid
  uptime_now
  ask_id=$self-$now
  put ask "$ask_id $*" || die 1 "cannot write in $PWD"
  wait_until=$((now + ask_seconds))
  until ask_answered; do
    uptime_now
    [ "$now" -lt "$wait_until" ] || die 3 "the guest of $service did not answer within $ask_seconds s"
    sleep "$nap"
  done
  case $ask_status in
    silent) die 3 "the guest of $service is silent" ;;
    0) ;;
    *) die 1 "the guest of $service could not do it, exit status $ask_status" ;;
  esac
}

# True once the whole answer is there; prints it, and sets $ask_status.
ask_answered() {
  get state/answer && [ "$value" = "$ask_id" ] || return 1
  ask_text=''
  ask_status=''
  while IFS= read -r ask_line; do
    case $ask_line in
      "$ask_id") ;;
      'end '*) ask_status=${ask_line#end } ;;
      *) ask_text=$ask_text$ask_line$LF ;;
    esac
  done <state/answer
  [ -n "$ask_status" ] || return 1
  printf %s "$ask_text"
}

# ask_watch: once a round of the supervisor.
ask_watch() {
  [ -e ask ] || return 0
  get ask
  rm -f ask
  ask_id=${value%% *}
  ask_left=$ASK_LINES
  printf '%s\n' "$ask_id" >state/answer
  # Never to a guest that may not be reading.
  if [ -z "$health" ]; then
    ask_note 'end silent'
  elif [ "$value" = "$ask_id time" ]; then
    clock_due=yes
    clock_send
    ask_note 'end 0'
  else
    ask_open=yes
    send "ask $value"
  fi
}

# The guest fell silent: whoever asked it need not wait any longer.
ask_give_up() {
  [ -z "${ask_open:-}" ] || ask_note 'end silent'
}

# control_answer ID LINE: of the last question only.
control_answer() {
  [ "$1" = "${ask_id:-}" ] && [ "$ask_left" -gt 0 ] || return 0
  shift
  ask_left=$((ask_left - 1))
  [ "$ask_left" -gt 0 ] || set -- end 1
  ask_note "$*"
}

ask_note() {
  case $1 in 'end '*) ask_open='' ;; esac
  printf '%s\n' "$1" >>state/answer
}
