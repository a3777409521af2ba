#!/bin/sh
# The first process of a container: guard.sh COMMAND...
# Standard input is held open by whoever waits for the command (container.ts). It ends when that one is gone, however
# it went, and everything in the container with it.
exec 3<&0 </dev/null
trap 'exit 143' TERM
"$@" 3<&- &
program=$!
{
  cat <&3 >/dev/null
  kill -TERM 1
} &
wait "$program"
