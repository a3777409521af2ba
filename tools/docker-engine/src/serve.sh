#!/bin/sh
# The first process of a process namespace: serve.sh DOCKERD ARGUMENTS...
# Starts the engine anew at `start`, kills it at `kill`. At the end of standard input it stops the engine; whatever is
# left in the namespace, containers too, ends with this script, and the mounts with it.
set -eu
mount --make-rprivate /
mount -t proc proc /proc
"$@" &
engine=$!
while read -r word; do
  case $word in
    kill) kill -KILL "$engine" ;;
    start)
      "$@" &
      engine=$!
      ;;
  esac
done
kill -TERM "$engine" 2>/dev/null || exit 0
wait "$engine" || true
