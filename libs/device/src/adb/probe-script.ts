/** Where Android's virtualization module has its VMM. */
const CROSVM = '/apex/com.android.virt/bin/crosvm';

/**
 * Shell function `platform`: prints the one line that changes when Android, its virtualization module or its VMM does.
 * Kept on the phone, beside the line that it printed at deploy, for `status` and the launcher, which compare;
 * {@link probeScript} prints the same one.
 */
export const platformScript = `platform() {
	virt=none
	for mounted in /apex/com.android.virt@*; do
		[ ! -d "$mounted" ] || virt=\${mounted##*@}
	done
	digest=none
	if [ -f ${CROSVM} ]; then
		digest=$(sha256sum ${CROSVM})
		digest=\${digest%% *}
	fi
	echo "$(getprop ro.build.fingerprint) virt $virt crosvm $digest"
}
`;

/** What begins a section of the output. */
export const SECTION = '#sovereign ';

/**
 * Asks a phone for everything that `parseProbe` reads, in one round trip; `$1` is the device's folder, and
 * `$SOVEREIGN_ROOT` how root was had, where it was. As root where that can be had, else as shell. Nothing that hangs
 * holds it for more than five seconds, and what a release does not have is an empty section.
 */
export const probeScript = `root=$1
${platformScript}
section() {
	echo '${SECTION}'"$1"
}
ask() {
	section "$1"
	shift
	timeout 5 "$@" 2>/dev/null </dev/null
}
section id
id -u
section root
echo "\${SOVEREIGN_ROOT-}"
ask su su -v
section platform
platform
section getprop
getprop | grep -E '^.(ro\\.build\\.(fingerprint|type|version\\.release|version\\.sdk)|ro\\.product\\.model|ro\\.boot\\.hypervisor\\.[a-z_.]*|persist\\.sys\\.fflag\\.override\\.settings_enable_monitor_phantom_procs).:'
ask machine uname -m
section nodes
for node in /dev/kvm /dev/gzvm /dev/halla /dev/gunyah /dev/vhost-vsock /dev/net/tun; do
	[ ! -e "$node" ] || echo "$node"
done
if [ -f ${CROSVM} ]; then
	section crosvm
	echo ${CROSVM}
	ask help ${CROSVM} run --help
fi
section memory
grep -E '^Mem(Total|Available):' /proc/meminfo
section space
folder=$root
while [ ! -d "$folder" ] && [ -n "$folder" ]; do
	folder=\${folder%/*}
done
df -k "\${folder:-/}"
section mounts
grep ' /data ' /proc/mounts
ask selinux getenforce
section wifi
for device in /sys/class/net/*; do
	[ -e "$device/phy80211" ] || continue
	[ "$(cat "$device/operstate")" = up ] || continue
	echo "\${device##*/}"
	timeout 5 iw dev "\${device##*/}" get power_save 2>/dev/null </dev/null
done
ask doze dumpsys deviceidle get deep
ask phantom-limit device_config get activity_manager max_phantom_processes
ask phantom-sync device_config get_sync_disabled_for_tests
ask phantom-monitor settings get global settings_enable_monitor_phantom_procs
ask battery dumpsys battery
section connectivity
timeout 5 dumpsys connectivity 2>/dev/null </dev/null | grep -E '^ *(Active default network|NetworkAgentInfo)'
section folder
ls -A "$root" 2>/dev/null
hook=/data/adb/service.d/sovereign_start.sh
[ ! -e "$hook" ] || echo "$hook"
exit 0
`;
