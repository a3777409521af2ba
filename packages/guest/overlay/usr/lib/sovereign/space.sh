# shellcheck shell=sh disable=SC2154
# Space on the data disk. Sourced after common.sh.

# space_tell: tells `data SIZE FREE` where it changed, in bytes: the disk, and what the service can still write, in
# whole MiB, so that little is told. Sets $free_mib and $size_mib.
space_tell() {
	disk sov-data && read -r size_mib <"${SOVEREIGN_SYS:-/sys}/block/${disk##*/}/size" || return
	size_mib=$((size_mib / 2048))
	space_told=
	[ ! -r "$RUN/state/data" ] || read -r space_told <"$RUN/state/data"
	# The file system's blocks for others than root, and their size.
	space=$(stat -f -c '%a %S' "${SOVEREIGN_DATA:-/data}") || return
	# Unmounted in between, at a stop: what was read is the root's, which is always full.
	[ -z "$space_told" ] || [ -e "$RUN/state/data" ] || return
	free_mib=$((${space% *} * ${space#* } / 1048576))
	space="$((size_mib * 1048576)) $((free_mib * 1048576))"
	[ "$space" = "$space_told" ] || tell data "$space"
}
