# shellcheck shell=sh disable=SC2154
# Tells a monitor of the owner's that the service is well (docs/decisions/0021-being-told.md). Sourced by the health
# watch, after common.sh.
#
# The address is in a file of the settings and goes nowhere else: who knows it can say that all is well. `off` is none.

GVFORWARDER=${SOVEREIGN_GVFORWARDER:-/usr/lib/sovereign/gvforwarder}
# Between two calls, in seconds. The program gives up before the next is due.
HEARTBEAT_SECONDS=${SOVEREIGN_HEARTBEAT_SECONDS:-60}
# What was told last: a monitor that is gone is told of once, however often it is called.
HEARTBEAT_TOLD=$RUN/heartbeat

# heartbeat_call UPTIME: while the service is well, and open to whom it serves.
heartbeat_call() {
	[ -s "$CONFIG/secrets/heartbeat" ] && [ -e "$RUN/opened" ] && [ "$1" -ge "${heartbeat_next:-0}" ] || return 0
	read -r heartbeat <"$CONFIG/secrets/heartbeat"
	[ "$heartbeat" != off ] || return 0
	heartbeat_next=$(($1 + HEARTBEAT_SECONDS))
	# Aside: the health is asked for and told meanwhile, however long a monitor takes.
	heartbeat_now </dev/null 3>&- &
}

heartbeat_now() {
	if ! clock_is_set; then
		heartbeat_tell waits 'it waits for the clock to be set'
	elif heartbeat_says=$(GOMEMLIMIT=16MiB "$GVFORWARDER" -call "$CONFIG/secrets/heartbeat" 2>&1); then
		heartbeat_tell heard 'it is heard'
	else
		heartbeat_tell unheard "it is not heard: ${heartbeat_says##*no success: }"
	fi
}

# heartbeat_tell WORD TEXT: to the console, where the word is another one than before.
heartbeat_tell() {
	heartbeat_before=
	if read -r heartbeat_before 2>/dev/null <"$HEARTBEAT_TOLD" && [ "$heartbeat_before" = "$1" ]; then return; fi
	echo "$1" >"$HEARTBEAT_TOLD"
	echo "heartbeat: $2" >&2
}
