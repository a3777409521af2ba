import type { Capabilities } from './capabilities.ts';

/** A setting of Android's: which command keeps it, its name, and what we want it to be. */
interface Setting {
  /** `setting`: `settings`, `NAMESPACE/KEY`. `config`: `device_config`, `NAMESPACE/KEY`. `sync`: its synchronisation. */
  kind: 'setting' | 'config' | 'sync';
  name: string;
  value: string;
}

/** Something that `doctor --fix` sets on a phone, and `remove` takes back. */
export interface Fix {
  name: string;
  /** What is set, as a person reads it. */
  what: string;
  needed: (capabilities: Capabilities) => boolean;
  settings: readonly Setting[];
}

/** As many as a signed 32-bit number holds. */
const NO_LIMIT = '2147483647';

export const fixes: readonly Fix[] = [
  {
    name: 'phantom killer',
    what: 'Android no longer kills processes that apps started',
    needed: ({ sdk, phantom: { monitor, limit, sync } }) =>
      // Android 12 brought it.
      sdk >= 31 && monitor !== 'false' && !(limit === NO_LIMIT && sync === 'persistent'),
    settings: [
      // Else the limit is gone when Android fetches its configuration anew.
      { kind: 'sync', name: '-', value: 'persistent' },
      { kind: 'config', name: 'activity_manager/max_phantom_processes', value: NO_LIMIT },
      { kind: 'setting', name: 'global/settings_enable_monitor_phantom_procs', value: 'false' },
    ],
  },
];

/** Positional parameters of {@link fixScript} after the first one. */
export const fixArguments = (chosen: readonly Fix[]): string[] =>
  chosen.flatMap(({ settings }) => settings.flatMap(({ kind, name, value }) => [kind, name, value]));

const access = `
read_setting() {
	case $1 in
	setting) settings get "\${2%%/*}" "\${2#*/}" ;;
	config) device_config get "\${2%%/*}" "\${2#*/}" ;;
	sync) device_config get_sync_disabled_for_tests ;;
	esac </dev/null
}
write_setting() {
	case $1:$3 in
	setting:null) settings delete "\${2%%/*}" "\${2#*/}" ;;
	setting:*) settings put "\${2%%/*}" "\${2#*/}" "$3" ;;
	config:null) device_config delete "\${2%%/*}" "\${2#*/}" ;;
	config:*) device_config put "\${2%%/*}" "\${2#*/}" "$3" ;;
	sync:null) device_config set_sync_disabled_for_tests none ;;
	sync:*) device_config set_sync_disabled_for_tests "$3" ;;
	esac </dev/null >&2
}
`;

/**
 * Sets settings, as root: `$1` is the device's folder, then three parameters each (see {@link fixArguments}). What
 * stood before goes to `settings.before` in that folder first, once, as lines `KIND NAME VALUE`.
 */
export const fixScript = `mkdir -p "$1" || exit 1
before=$1/settings.before
shift
${access}
while [ $# -ge 3 ]; do
	if ! grep -q "^$1 $2 " "$before" 2>/dev/null; then
		value=$(read_setting "$1" "$2") || exit 1
		echo "$1 $2 \${value:-null}" >>"$before" || exit 1
	fi
	write_setting "$1" "$2" "$3" || exit 1
	shift 3
done
`;

/**
 * Takes back what `settings.before` in the folder `$1` tells, as root, and removes that file; where there is none,
 * nothing. A setting that its owner changed meanwhile is set back as well: what we began ends as it was.
 */
export const undoScript = `before=$1/settings.before
${access}
[ -f "$before" ] || exit 0
while read -r kind name value; do
	# What is gone already need not be deleted.
	write_setting "$kind" "$name" "$value" || [ "$(read_setting "$kind" "$name")" = "$value" ] || exit 1
done <"$before"
rm "$before"
`;
