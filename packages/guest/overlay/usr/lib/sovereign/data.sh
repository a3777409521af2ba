# shellcheck shell=sh disable=SC2034,SC2154
# The data disk: born once, recognised ever after (docs/formats.md, "Data disk"). Sourced after common.sh.
#
# Block 0 holds `sovereign-new UUID` until a file system of that UUID is made. mke2fs clears that block long before
# the file system is complete, so the intention is written to the last block first: a power cut in between is then
# seen, and never looks like a disk that was lost.

DATA=${SOVEREIGN_DATA:-/data}
# Bytes kept behind the file system, for the intention.
DATA_TAIL=65536
# All of ext4 that a new disk has, whatever this version of mke2fs would choose: the tools of an older phone repair it
# (docs/decisions/0018-data-disk.md).
DATA_FEATURES=has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file
DATA_FEATURES=$DATA_FEATURES,huge_file,dir_nlink,extra_isize,metadata_csum
# Tries to unmount it, with 0.1 s in between.
DATA_TRIES=100
# Blocks of 4 KiB that a file system may lack at its end: it does not begin a group that would hardly hold itself.
DATA_SLACK=4096

# first_text DEVICE BYTE: the text in the 4 KiB from BYTE on, without its zeros and its last line end. What is no
# mark of ours is cut short: it is only ever compared.
first_text() {
	dd if="$1" bs=4096 skip=$(($2 / 4096)) count=1 2>/dev/null | tr -d '\000' | tr -c ' -~\n' '?' | head -c 128
}

# put_text DEVICE BYTE TEXT: replaces those 4 KiB, on the disk when it returns.
put_text() {
	{
		printf '%s' "$3"
		[ -z "$3" ] || echo
		dd if=/dev/zero bs=4096 count=1 2>/dev/null
	} | dd of="$1" bs=4096 seek=$(($2 / 4096)) count=1 iflag=fullblock conv=notrunc,fsync 2>/dev/null
}

# data_read: sovereign.json into data_schema, data_base, data_kind, data_major, data_collation, data_initialised.
# The file is ours: one key a line, no escapes.
data_read() {
	data_schema='' data_base='' data_kind='' data_major='' data_collation='' data_initialised=''
	while read -r data_key data_value; do
		data_value=${data_value%,}
		data_value=${data_value#\"}
		data_value=${data_value%\"}
		case $data_key in
		'"schema":') data_schema=$data_value ;;
		'"base":') data_base=$data_value ;;
		'"kind":') data_kind=$data_value ;;
		'"major":') data_major=$data_value ;;
		'"collation":') data_collation=$data_value ;;
		'"initialised":') data_initialised=$data_value ;;
		esac
	done <"$DATA/sovereign.json"
}

# data_expect: what this release keeps, into base, kind, major, collation, accepted (bases).
data_expect() {
	value base "$SERVICE_CONF" && base=$value
	value data-kind "$SERVICE_CONF" && kind=$value
	value data-major "$SERVICE_CONF" && major=$value
	value data-collation "$SERVICE_CONF" && collation=$value
	value data-bases "$SERVICE_CONF" && accepted=$value
}

# data_record true|false: writes sovereign.json; `initialised` is true once the service's data is complete.
data_record() {
	data_expect
	printf '{\n  "schema": 1,\n  "base": "%s",\n  "kind": "%s",\n  "major": %s,\n' "$base" "$kind" "$major" \
		>"$DATA/sovereign.json.new"
	printf '  "collation": "%s",\n  "initialised": %s\n}\n' "$collation" "$1" >>"$DATA/sovereign.json.new"
	sync
	mv "$DATA/sovereign.json.new" "$DATA/sovereign.json"
	sync
}

# data_format DEVICE UUID: a new file system up to $tail_at, crash-safe.
data_format() {
	put_text "$1" "$tail_at" "sovereign-formatting $2" || return 1
	# Only what a first boot needs is written: the kernel clears the rest of the inode tables later, in its own time.
	mke2fs -q -F -t ext4 -O "none,$DATA_FEATURES" -U "$2" -L sov-data -b 4096 -I 256 -m 1 -J size=32 \
		-E lazy_itable_init=1,lazy_journal_init=1,nodiscard "$1" "$((tail_at / 4096))" || return 1
	put_text "$1" "$tail_at" '' || return 1
}

# data_file_system DEVICE: `TYPE UUID` of the file system on it; empty where there is none.
data_file_system() {
	blkid "$1" | sed -n 's/^[^:]*:.* UUID="\([^"]*\)".* TYPE="\([^"]*\)".*/\2 \1/p'
}

# data_fits: prints why what lies on the disk is not this service's, and fails.
data_fits() {
	data_expect
	data_read
	case $data_schema.$data_major in
	.* | *. | *[!0-9.]*)
		echo "data damaged: sovereign.json cannot be read"
		return 1
		;;
	esac
	if [ "$data_schema" -gt 1 ]; then
		echo "data too new: sovereign.json has schema $data_schema, this release knows 1"
	elif [ "$data_kind" != "$kind" ]; then
		echo "data foreign: it holds $data_kind, this service keeps $kind"
	elif [ "$data_major" -gt "$major" ]; then
		echo "data too new: made by $kind $data_major, this release has $major"
	elif [ "$data_major" -lt "$major" ]; then
		echo "data too old: made by $kind $data_major, this release has $major"
	elif [ "$data_collation" != "$collation" ]; then
		echo "data foreign: sorted by $data_collation, this release sorts by $collation"
	else
		case " $accepted " in
		*" $data_base "*) return 0 ;;
		esac
		echo "data foreign: made by the base $data_base, which this release does not accept"
	fi
	return 1
}

# data_mount DEVICE: errors=remount-ro, so that a disk that fails becomes a failed service, never silent damage. No
# program is run from it, but where the service says so: Git passes over hooks of a file system with noexec.
data_mount() {
	data_options=noatime,nosuid,nodev,noexec,errors=remount-ro
	if value data-programs "$SERVICE_CONF"; then data_options=noatime,nosuid,nodev,errors=remount-ro; fi
	mount -t ext4 -o "$data_options" "$1" "$DATA"
}

# data_unmount: whoever looks for a file there, as the health watch does every second, holds the disk for a moment.
data_unmount() {
	data_tries=0
	until umount "$DATA" 2>/dev/null; do
		data_tries=$((data_tries + 1))
		if [ $data_tries -ge $DATA_TRIES ]; then
			umount "$DATA"
			return
		fi
		sleep 0.1
	done
}

# data_mount_checked DEVICE: the kernel replays the journal; e2fsck runs where that is not enough, and only as far
# as it repairs without asking.
data_mount_checked() {
	if data_mount "$1"; then
		data_errors=0
		[ ! -r "/sys/fs/ext4/${1##*/}/errors_count" ] || read -r data_errors <"/sys/fs/ext4/${1##*/}/errors_count"
		[ "$data_errors" != 0 ] || return 0
		data_unmount
	fi
	e2fsck -p "$1"
	data_checked=$?
	[ $data_checked -ge 4 ] || [ $data_checked = 0 ] || echo "sovereign: the data disk was damaged and is repaired"
	[ $data_checked -lt 4 ] && data_mount "$1"
}

# data_grow DEVICE: the file system follows a disk that has grown, up to $tail_at. While it is mounted: the kernel adds
# one group after the other, each in a transaction of the journal, so that a power cut leaves one that is smaller and
# whole, and the next start goes on. Where it does not grow, the service runs with the space that it had.
data_grow() {
	data_blocks=$(od -A n -t u4 -j 1028 -N 4 "$1")
	data_missing=$((tail_at / 4096 - data_blocks))
	[ $data_missing -ge $DATA_SLACK ] || return 0
	echo "sovereign: the data disk has grown, the file system follows by $((data_missing / 256)) MiB"
	resize2fs "$1" "$((tail_at / 4096))" || echo "sovereign: the file system did not grow"
}

# data_attach: mounts the data disk at $DATA; prints the reason where that must not be.
data_attach() {
	if ! value data-uuid "$CONFIG/guest.conf"; then
		echo "config damaged: it names no data disk"
		return 1
	fi
	uuid=$value
	if ! disk sov-data; then
		echo "data missing: no disk with the serial sov-data"
		return 1
	fi
	device=$disk
	read -r size <"${SOVEREIGN_SYS:-/sys}/block/${device##*/}/size"
	size=$((size * 512))
	if [ "$size" -lt 67108864 ]; then
		echo "data too small: the disk has $size bytes, the least is 64 MiB"
		return 1
	fi
	tail_at=$((size / DATA_TAIL * DATA_TAIL - DATA_TAIL))
	found=$(data_file_system "$device")
	# The usual case first, with as few programs as can be: the record is written after all else, so it proves that
	# the disk was completed.
	if [ "$found" = "ext4 $uuid" ] && data_mount_checked "$device" >&2; then
		if [ -f "$DATA/sovereign.json" ]; then
			data_fits || {
				data_unmount
				return 1
			}
			data_grow "$device" >&2
			return 0
		fi
		if [ "$(first_text "$device" $tail_at)" != "sovereign-formatting $uuid" ]; then
			if data_empty; then
				data_record false
				return
			fi
			data_unmount
			echo "data foreign: the disk has files and no sovereign.json"
			return 1
		fi
		data_unmount
	fi
	if [ "$(first_text "$device" 0)" = "sovereign-new $uuid" ] ||
		[ "$(first_text "$device" $tail_at)" = "sovereign-formatting $uuid" ]; then
		if ! { data_format "$device" "$uuid" && data_mount "$device" && data_record false; } >&2; then
			echo "data failed: no file system could be made on $device"
			return 1
		fi
	elif [ "$found" = "ext4 $uuid" ]; then
		echo "data damaged: the file system $uuid does not mount, and e2fsck -p does not repair it"
		return 1
	else
		echo "data missing: neither the mark of a new disk nor the file system $uuid (found: ${found:-nothing})"
		return 1
	fi
}

# data_empty: nothing in the file system but what mke2fs and a record cut short leave.
data_empty() {
	for data_entry in "$DATA"/*; do
		case ${data_entry##*/} in
		'*' | lost+found | sovereign.json.new) ;;
		*) return 1 ;;
		esac
	done
}
