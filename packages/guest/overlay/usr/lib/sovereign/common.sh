# shellcheck shell=sh disable=SC2034
# What every script of the guest shares. Sourced, never run.

RUN=${SOVEREIGN_RUN:-/run/sovereign}
# Parsed into: the config disk's files.
CONFIG=$RUN/config
SERVICE_CONF=${SOVEREIGN_SERVICE_CONF:-/etc/sovereign/service.conf}
# What differs between the bases.
BASE_CONF=${SOVEREIGN_BASE_CONF:-/etc/sovereign/base.conf}

# value KEY FILE: sets $value to the rest of the first line that begins with KEY; fails where there is none. Builtins
# only, and no subshell, because starting a process is what costs time during boot.
value() {
	while IFS= read -r value || [ -n "$value" ]; do
		case $value in
		"$1 "*)
			value=${value#"$1 "}
			return 0
			;;
		esac
	done <"$2"
	value=
	return 1
}

# A clock before this, 2025, was never set: no certificate is valid then.
CLOCK_FLOOR=1735689600

# is_time SECONDS: this time since 1970 is one that somebody has set.
is_time() {
	[ "$1" -ge $CLOCK_FLOOR ]
}

clock_is_set() {
	is_time "$(date +%s)"
}

# tell KEY VALUE: leaves VALUE as the present state of KEY and wakes the agent, the only process that writes to
# the control channel. Opened both ways, so that it never waits for an agent that is not there yet; an agent that
# starts later reads the state.
tell() {
	printf '%s\n' "$2" >"$RUN/state/$1"
	[ ! -p "$RUN/agent" ] || printf '%s %s\n' "$1" "$2" 1<>"$RUN/agent"
}

# stay_down REASON: the service must not run, and the reason goes to whoever asks. Kept until the next boot.
stay_down() {
	printf '%s\n' "$1" >"$RUN/down"
	tell health "bad $1"
	echo "sovereign: $1" >&2
}

# disk SERIAL: sets $disk to the block device with this virtio serial number; device letters depend on the order of
# probing.
disk() {
	for disk in "${SOVEREIGN_SYS:-/sys}"/block/*/serial; do
		[ -r "$disk" ] || continue
		# The file ends without a line end: read fails and has read all the same.
		read -r disk_serial <"$disk" || :
		[ "$disk_serial" = "$1" ] || continue
		disk=${disk%/serial}
		disk=/dev/${disk##*/}
		return 0
	done
	disk=
	return 1
}
