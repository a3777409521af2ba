# shellcheck shell=sh disable=SC2154
# Settings and secrets of this device, from the config disk. Sourced after common.sh.

# What /etc/hosts leads to.
HOSTS=${SOVEREIGN_HOSTS:-/run/hosts}
# The address at which HTTPS in the tailnet was last found in order. It outlasts the boot.
PUBLIC=${SOVEREIGN_DATA:-/data}/tailscale/public-address
# A service's own program, if it has one, that takes new settings while the service runs.
APPLY=${SOVEREIGN_APPLY:-/usr/lib/sovereign/apply}

# setting NAME: sets $value to what holds of the owner's settings; fails where nothing does.
setting() {
	value "setting $1" "$CONFIG/guest.conf"
}

# public_setting NAME: sets $value as `setting` does, and $public_host to the host of the address that it says; fails
# where that is none, or one that nobody else knows.
public_setting() {
	setting "$1" || return
	public_host=${value#*://}
	public_host=${public_host%%[:/]*}
	case $public_host in
	'' | localhost | 127.*) return 1 ;;
	esac
}

# public_address NAME: sets $value to the address under which clients know the service: what the setting NAME says, or
# where that is this machine's alone, the one in the tailnet.
public_address() {
	! public_setting "$1" || return 0
	own_address=$value
	if ! value tailnet "$CONFIG/guest.conf" || [ "$value" != yes ] || ! read -r value 2>/dev/null <"$PUBLIC"; then
		value=$own_address
	fi
	[ -n "$value" ]
}

# settings_apply: has the service take its settings: by its own program, else by a restart of its OpenRC services. Sets
# $settings_problem where it fails.
settings_apply() {
	if [ -x "$APPLY" ]; then
		settings_problem='the service did not take the new settings'
		"$APPLY"
		return
	fi
	value units "$SERVICE_CONF"
	for unit in $value; do
		case $unit in
		agent | network | ssh | data) continue ;;
		esac
		settings_problem="$unit did not start with the new settings"
		rc-service "$unit" restart >&2 || return
	done
}

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
