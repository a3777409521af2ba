# shellcheck shell=sh
# The stream of a backup (docs/formats.md, "Backup"): lines, and pieces of bytes whose size stands in the line before
# them. Nothing is larger than one piece, neither in memory nor on a disk. Sourced after common.sh and data.sh.

# Bytes of a piece, which the guest holds in memory. Larger ones would deduplicate better: docs/decisions/0017-backup.md.
PIECE=${SOVEREIGN_PIECE:-16777216}
# A folder of this run, in memory.
work=$RUN/backup.$$

# backup_fail REASON: ends the stream so that nobody takes it for whole. For whoever runs us, too.
backup_fail() {
	echo "sovereign: $*" >&2
	exit 1
}

backup_work() {
	umask 077
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' HUP INT PIPE TERM
	mkdir -p "$work"
}

# backup_head KEY=VALUE…: the first lines: what this is a backup of, and what the caller knows about it.
backup_head() {
	data_expect
	value name "$SERVICE_CONF"
	echo 'sovereign-backup 1'
	# shellcheck disable=SC2154
	printf 'about %s\n' "service $value" "base $base" "kind $kind" "major $major" "collation $collation"
	for pair; do echo "about ${pair%%=*} ${pair#*=}"; done
}

# pieces NAME: standard input as pieces of this name, the last one of no bytes.
pieces() {
	while :; do
		dd bs=65536 count=$((PIECE / 65536)) iflag=fullblock of="$work/piece" 2>/dev/null || return
		size=$(wc -c <"$work/piece")
		size=${size##* }
		[ "$size" != 0 ] || break
		echo "piece $1 $size" && cat "$work/piece" || return
	done
	echo "piece $1 0"
}

# content NAME SIZE: the bytes of the pieces of this name, the line of the first one being read already. Fails where the
# stream ends before they do. The shell reads lines byte by byte, so what follows a line is still there for dd.
content() {
	while :; do
		case $2 in '' | *[!0-9]*) return 1 ;; esac
		[ "$2" != 0 ] || return 0
		dd bs="$2" count=1 iflag=fullblock 2>/dev/null || return
		read -r piece_word piece_name piece_size && [ "$piece_word $piece_name" = "piece $1" ] || return
		set -- "$1" "$piece_size"
	done
}

# backup_about KEY VALUE: ends a restore of what is not ours.
backup_about() {
	case $1 in
	service)
		value name "$SERVICE_CONF"
		[ "$2" = "$value" ] || backup_fail "this is a backup of $2, not of $value"
		;;
	kind) [ "$2" = "$kind" ] || backup_fail "this is a backup of $2, this service keeps $kind" ;;
	major)
		case $2 in '' | *[!0-9]*) backup_fail "the backup names no version: $2" ;; esac
		[ "$2" -le "$major" ] || backup_fail "the backup was made by $kind $2, this release has $major"
		;;
	esac
}

# backup_read: reads the stream from standard input and calls backup_about KEY VALUE for what it says of itself, and
# restore_piece NAME SIZE for each content.
backup_read() {
	IFS= read -r line || backup_fail 'the backup is empty'
	case $line in
	'sovereign-backup 1') ;;
	'sovereign-backup '*) backup_fail "the backup has format ${line#* }, this release reads 1: restore it with a newer one" ;;
	*) backup_fail 'this is no backup' ;;
	esac
	while read -r item name rest; do
		case $item in
		about) backup_about "$name" "$rest" ;;
		count) ;;
		piece)
			restore_piece "$name" "$rest" || backup_fail "the $name of the backup could not be restored"
			[ ! -e "$work/cut" ] || backup_fail 'the backup was cut'
			;;
		end) return 0 ;;
		*) backup_fail "the backup is damaged: it has a line that begins with '$item'" ;;
		esac
	done
	backup_fail 'the backup was cut'
}

# backup_restore: backup_read of the service's data. The service counts as starting until it is all in, so that no trial
# passes and nobody is let in.
backup_restore() {
	: >"$RUN/restoring"
	tell stage restore
	data_expect
	backup_read
}

# content_or_cut NAME SIZE: content for a pipe, whose status is that of its reader.
content_or_cut() {
	content "$@" || : >"$work/cut"
}

# backup_restored: the service is what it was. Asked for its health again from here on.
backup_restored() {
	sync
	rm -f "$RUN/restoring"
}
