# The guest's clock. It starts with the time of its RTC; the launcher sends its own when the guest says hello, and again
# when either of the two may have moved: after the device slept or the guest was silent, when the device's clock was set,
# and when the guest tells a time that is not the device's.
# shellcheck shell=sh

# A round of the supervisor that took so many seconds of uptime was held up: the device slept. /proc/uptime counts that.
CLOCK_HELD=10
# Difference of two looks, in seconds, from which on the device's clock was set.
CLOCK_MOVED=2
# Without any reason the time is sent after so many seconds: two clocks drift apart.
CLOCK_AGE=3600

# Difference to what the guest tells, in tens of seconds, from which on its clock is wrong: a line may be read late.
CLOCK_WRONG=3
# A device whose clock says less, 2025, was never set and has no time to give.
CLOCK_FLOOR=1735689600

clock_begin() {
  clock_round_at=$now
  clock_sent_at=$now
  clock_due=''
  clock_look
  clock_due=''
}

# clock_look: once in a while. It starts a process.
clock_look() {
  # Both clocks of one moment: the round may have begun a while ago.
  uptime_now
  clock_wall=$(date +%s)
  clock_moved=$((clock_wall - now - ${clock_offset:-0}))
  clock_offset=$((clock_wall - now))
  if [ "${clock_moved#-}" -ge $CLOCK_MOVED ] || [ $((now - clock_sent_at)) -ge $CLOCK_AGE ]; then clock_due=yes; fi
}

# clock_watch: once a round, after uptime_now and before the channel is read.
clock_watch() {
  clock_held=$((now - clock_round_at))
  clock_round_at=$now
  if [ "$clock_held" -ge $CLOCK_HELD ]; then
    log "this device slept for about $clock_held s"
    # So did the guest: that it said nothing meanwhile tells nothing about it.
    health_at=$((health_at + clock_held))
    clock_due=yes
  fi
}

# clock_hear SECONDS: what the guest's clock says. The device's is known without a process since the last look. Compared
# in tens of seconds: a wrong clock may say more than fits into the 32 bits of mksh.
clock_hear() {
  case $1 in 0*) return ;; esac
  is_number "${1%?}" && [ -n "${clock_offset:-}" ] && [ $((now + clock_offset)) -ge $CLOCK_FLOOR ] || return 0
  clock_drift=$((${1%?} - (now + clock_offset) / 10))
  [ "${clock_drift#-}" -lt $CLOCK_WRONG ] || clock_due=yes
}

# clock_send: what is due, to a guest that reads.
clock_send() {
  [ -n "$clock_due" ] && [ -n "$health" ] || return 0
  clock_due=''
  clock_sent_at=$now
  send "time $(date +%s)"
}
