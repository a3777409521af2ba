# shellcheck shell=sh disable=SC2154
# Settings and secrets of this device, from the config disk. Sourced after common.sh.

# settings_read: unpacks the config disk into $CONFIG, where nobody but root can look, and makes /etc/hosts of it.
settings_read() {
	if ! disk sov-config; then
		stay_down "config missing: no disk with the serial sov-config"
		return 1
	fi
	[ ! -d "$CONFIG" ] || rm -rf "$CONFIG"
	umask 077
	mkdir "$CONFIG"
	tar -x -o -f "$disk" -C "$CONFIG"
	umask 022
	# Additive by design: a newer schema only adds what this release does not know.
	if ! [ -f "$CONFIG/guest.conf" ] || ! read -r settings_schema <"$CONFIG/schema"; then
		stay_down "config damaged: the config disk holds no readable settings"
		return 1
	fi
	case $settings_schema in
	'' | 0* | *[!0-9]*)
		stay_down "config damaged: its schema is no number"
		return 1
		;;
	esac
	value hostname "$CONFIG/guest.conf"
	echo "$value" >/proc/sys/kernel/hostname
	{
		printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n' "$value"
		[ ! -f "$CONFIG/hosts" ] || cat "$CONFIG/hosts"
	} >/run/hosts
}
