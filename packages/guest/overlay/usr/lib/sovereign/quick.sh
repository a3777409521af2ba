# shellcheck shell=sh
# OpenRC's messages without starting a program for each. Sourced by every service of ours; boot time is mostly the
# number of programs that are started.

ebegin() {
	printf ' * %s ...\n' "$*"
}

eend() {
	[ "${1:-0}" = 0 ] || printf ' * failed: %s\n' "${2:-exit $1}"
	return "${1:-0}"
}
