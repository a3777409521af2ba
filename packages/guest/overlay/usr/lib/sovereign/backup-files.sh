# shellcheck shell=sh disable=SC2154
# The backup of a service that keeps a folder of files and a SQLite database in it. Sourced after backup.sh, by a
# service that says
#   home      the folder, below the data disk
#   sqlite    the database, as a path in it, which is not asked where the owner keeps it on the SQL service
#   leave     what of the folder is made anew by the program, as paths in it without blanks
#   account   whose the folder is
#   unit      its OpenRC service
# and that may have quiesce and resume, which keep the program from writing while a snapshot is taken.
#
# A snapshot is a copy of the database that SQLite makes in one read transaction, and hard links to the files, which
# are replaced and never changed in place. It lies on the data disk: it is too large for memory.

stage=$DATA/backup.$$
# The same, empty where the owner keeps it on the SQL service.
database=$sqlite
if value 'setting database' "$CONFIG/guest.conf" && [ "$value" = sql ]; then database=''; fi

# files_work: what a run that was killed left goes.
files_work() {
	backup_work
	for left in "$DATA"/backup.*; do
		[ ! -d "$left" ] || [ -d "/proc/${left##*.}" ] || rm -rf "$left"
	done
	trap 'resume; rm -rf "$work" "$stage"' EXIT
	mkdir -p "$stage" || backup_fail 'the data disk cannot be written'
}

quiesce() {
	:
}

resume() {
	:
}

# query FILE: runs the SQL of standard input.
query() {
	sqlite3 -batch -bail -noheader "$1"
}

# database_copy: fails where the database is busy.
database_copy() {
	rm -f "$stage/database"
	printf '.timeout %s\nVACUUM INTO '\''%s'\'';\n' "${patience:-5000}" "$stage/database" | query "$home/$database" 2>"$work/said"
}

# room: the copy of the database must not be what fills the disk. Fails, with the reason printed.
room() {
	[ -n "$database" ] || return 0
	needed=0
	for part in "$home/$database" "$home/$database-wal"; do
		# The log goes with the last connection, at any moment.
		size=$(stat -c %s "$part" 2>/dev/null) || continue
		needed=$((needed + size / 1048576 + 1))
	done
	space=$(stat -f -c '%a %S' "$DATA") || return 1
	free=$((${space% *} * (${space#* } / 512) / 2048))
	[ "$free" -lt $((needed + 32)) ] || return 0
	backup_fail "the data disk has $free MiB free, a copy of the database needs $((needed + 32))"
}

# snapshot: $stage/database and $stage/files, of one moment where the service can quiesce. A file that goes while it is
# linked is no reason to fail: the database was copied before, and the next try finds it gone.
snapshot() {
	tries=0
	while :; do
		tries=$((tries + 1))
		rm -rf "$stage/files"
		if quiesce && { [ -z "$database" ] || database_copy; } && cp -al "$home" "$stage/files" 2>>"$work/said"; then
			resume
			break
		fi
		resume
		[ $tries -lt 20 ] || backup_fail "no snapshot could be taken: $(tail -n 1 "$work/said")"
		sleep 0.3
	done
	for path in "" -wal -shm -journal; do rm -f "$stage/files/$sqlite$path"; done
	for path in $leave; do rm -rf "$stage/files/$path"; done
}

# count_tables FILE: rows of every table.
count_tables() {
	query "$1" <<-'END' | query "$1"
		SELECT 'SELECT ''count '' || count(*) || '' ' || replace(replace(name, char(10), '\n'), '''', '''''')
			|| ''' FROM "' || replace(name, '"', '""') || '";'
		FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name;
	END
}

# counted FOLDER DATABASE: what a snapshot, or a restore, holds. The folder is without what a backup leaves out.
counted() {
	[ -z "$database" ] || count_tables "$2" || return
	echo "count $(find "$1" -type f | wc -l | tr -d ' ') files"
}

kept_in() {
	if [ -n "$database" ]; then echo sqlite; else echo sql; fi
}

# create [KEY=VALUE…]
create() {
	[ -d "$home" ] || backup_fail "there is no $home"
	room
	snapshot
	backup_head "$@" "database=$(kept_in)"
	counted "$stage/files" "$stage/database" || backup_fail 'the database could not be counted'
	if [ -n "$database" ]; then
		pieces database <"$stage/database" || backup_fail 'the database could not be sent'
	fi
	if ! { tar -c -f - -C "$stage/files" . || : >"$work/failed"; } | pieces files || [ -e "$work/failed" ]; then
		backup_fail 'the files could not be sent'
	fi
	echo end
}

restore_piece() {
	case $1 in
	database)
		[ -n "$database" ] || backup_fail 'the backup has a database of its own, and the setting database is sql here'
		content_or_cut "$1" "$2" >"$stage/database"
		;;
	files)
		mkdir "$stage/files" && content_or_cut "$1" "$2" | tar -x -f - -C "$stage/files"
		;;
	*) return 1 ;;
	esac
}

# restore: nothing of the service is touched before all of the backup is there and whole.
restore() {
	backup_restore
	[ -d "$stage/files" ] || backup_fail 'the backup has no files'
	if [ -n "$database" ]; then
		[ -f "$stage/database" ] ||
			backup_fail 'the backup has no database of its own: it was made with the setting database=sql'
		[ "$(echo 'PRAGMA quick_check;' | query "$stage/database")" = ok ] || backup_fail 'the database is damaged'
	fi
	# Before the program, which may be a newer one, starts on it.
	counted "$stage/files" "$stage/database" >"$RUN/restored" || backup_fail 'the database could not be counted'
	if [ -n "$database" ]; then
		if ! { mkdir -p "$stage/files/$(dirname "$database")" && mv "$stage/database" "$stage/files/$database"; }; then
			backup_fail 'the database could not be put in its place'
		fi
	fi
	chown -R "$account:$account" "$stage/files" || backup_fail 'the files could not be given to their owner'
	rc-service "$unit" stop >&2 || backup_fail "$unit did not stop"
	if ! { rm -rf "$home" && mv "$stage/files" "$home" && sync; }; then backup_fail 'the data could not be replaced'; fi
	rc-service "$unit" start >&2 || backup_fail "$unit does not start with the data of the backup"
	backup_restored
}

# count: once after a restore, what it brought; else what is there now.
count() {
	if [ -e "$RUN/restored" ]; then
		cat "$RUN/restored" && rm -f "$RUN/restored"
		return
	fi
	room
	snapshot
	counted "$stage/files" "$stage/database" || backup_fail 'the database could not be counted'
}

# backup_main VERB [WORD…]
backup_main() {
	verb=${1-}
	[ $# = 0 ] || shift
	case $verb in
	create | restore | count)
		files_work
		"$verb" "$@"
		;;
	*)
		echo 'usage: backup create [KEY=VALUE…] | restore | count' >&2
		exit 2
		;;
	esac
}
