# shellcheck shell=sh disable=SC2154
# Gives what the service does not use any more back to the device, where its owner wants the data disk thin
# (docs/decisions/0023-thin-disks.md). Sourced by the health watch and by the data disk's service, after common.sh.
#
# Once a day and all at once: mounted with `discard`, each commit of the journal would wait for the device to punch its
# holes. Not at a stop, which has a deadline.

TRIM_SECONDS=${SOVEREIGN_TRIM_SECONDS:-86400}
# From the boot to the first time: a start has better to do.
TRIM_FIRST=${SOVEREIGN_TRIM_FIRST:-300}
# Its process, while it works.
TRIMMING=$RUN/trimming

# trim_when_due UPTIME: while the service is well, and open to whom it serves.
trim_when_due() {
	[ "$1" -ge "${trim_next:-$TRIM_FIRST}" ] && [ -e "$RUN/opened" ] || return 0
	trim_next=$(($1 + TRIM_FIRST))
	value 'setting disk' "$CONFIG/guest.conf" && [ "$value" = thin ] || return 0
	trim_next=$(($1 + TRIM_SECONDS))
	# Aside: the health is asked for and told meanwhile.
	trim_now </dev/null 3>&- &
}

trim_now() {
	fstrim "${SOVEREIGN_DATA:-/data}" &
	echo $! >"$TRIMMING"
	wait $!
	rm -f "$TRIMMING"
}

# trim_end: before the disk is unmounted, which it would keep busy.
trim_end() {
	read -r trimming 2>/dev/null <"$TRIMMING" || return 0
	trim_tries=0
	# Its number may be another's by now. The kernel ends it between two groups of blocks.
	while read -r trim_name 2>/dev/null <"/proc/$trimming/comm" && [ "$trim_name" = fstrim ] && [ $trim_tries -lt 50 ]; do
		kill "$trimming" 2>/dev/null
		trim_tries=$((trim_tries + 1))
		sleep 0.1
	done
	rm -f "$TRIMMING"
}
