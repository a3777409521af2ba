# What a supervisor or the keeper does first, so that nothing of whoever started it can take it down (adb, a su daemon,
# init's clearing of a service's cgroup).
# shellcheck shell=sh

# Below the score of anything that Android's lmkd kills, above what the kernel never kills. The VM inherits it.
DETACHED_SCORE=-900

# The session is the spawner's doing (setsid), the working directory is a folder of ours. Descriptors of two digits
# are the shell's own. On a machine that has other users than us only the descriptors are left.
detach() {
  exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
  [ "$device_kind" = adb ] || return 0
  self_pid
  # Where Android keeps the roots of its cgroup hierarchies: those below are killed with the service that made them.
  for cgroup in /sys/fs/cgroup /acct /dev/cg2_bpf /dev/memcg/apps; do
    [ -w "$cgroup/cgroup.procs" ] || continue
    detach_write "$self" "$cgroup/cgroup.procs"
  done
  detach_write $DETACHED_SCORE /proc/self/oom_score_adj
  # Gunyah locks the guest's memory.
  # shellcheck disable=SC3045  # dash, mksh and busybox ash all have it
  ulimit -l unlimited 2>/dev/null || log 'not detached: the limit on locked memory stays'
}

# detach_write VALUE FILE: by a builtin, since /proc/self is whoever opens it.
detach_write() {
  { echo "$1" >"$2"; } 2>/dev/null || log "not detached: $2 does not take $1"
}
