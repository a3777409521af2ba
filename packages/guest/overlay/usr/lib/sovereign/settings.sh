# shellcheck shell=sh disable=SC2154
# Settings and secrets of this device, from the config disk. Sourced after common.sh.

# What /etc/hosts leads to.
HOSTS=${SOVEREIGN_HOSTS:-/run/hosts}

# settings_unpack TAR FOLDER: unpacks a config disk into a new folder, where nobody but root can look; sets
# $settings_problem and fails where it holds no settings.
settings_unpack() {
	umask 077
	mkdir "$2"
	tar -x -o -f "$1" -C "$2"
	umask 022
	settings_problem=
	# Additive by design: a newer schema only adds what this release does not know.
	if ! [ -f "$2/guest.conf" ] || ! read -r settings_schema <"$2/schema"; then
		settings_problem="the config disk holds no readable settings"
		return 1
	fi
	case $settings_schema in
	'' | 0* | *[!0-9]*)
		settings_problem="its schema is no number"
		return 1
		;;
	esac
}

# settings_hosts: makes the target of /etc/hosts.
settings_hosts() {
	value hostname "$CONFIG/guest.conf"
	{
		printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n' "$value"
		[ ! -f "$CONFIG/hosts" ] || cat "$CONFIG/hosts"
	} >"$HOSTS.new"
	mv "$HOSTS.new" "$HOSTS"
}

# settings_read: the settings of this boot, in $CONFIG.
settings_read() {
	if ! disk sov-config; then
		stay_down "config missing: no disk with the serial sov-config"
		return 1
	fi
	[ ! -d "$CONFIG" ] || rm -rf "$CONFIG"
	if ! settings_unpack "$disk" "$CONFIG"; then
		stay_down "config damaged: $settings_problem"
		return 1
	fi
	value hostname "$CONFIG/guest.conf"
	echo "$value" >/proc/sys/kernel/hostname
	settings_hosts
}
