# ROOT/device.conf: what the workstation decided about this device (docs/formats.md, "Device settings").
# shellcheck shell=sh

# read_device_conf: sets the device_* variables; fails with $device_error where the file cannot be followed as written.
# What was read before is kept then; the first time, what could be read counts. Without the file this is a local device,
# whose VMM makes each machine's network by itself.
read_device_conf() {
  device_error=''
  conf_schema=''
  conf_kind=local
  conf_network=user
  conf_gvproxy=''
  conf_reserve=0
  conf_awake=no
  conf_hook=''
  [ ! -e "$root/device.conf" ] || read_device_lines
  if [ -n "$device_error" ] && [ -n "${device_kind:-}" ]; then return 1; fi
  device_kind=$conf_kind
  device_network=$conf_network
  device_gvproxy=$conf_gvproxy
  device_reserve=$conf_reserve
  device_awake=$conf_awake
  device_hook=$conf_hook
  [ -z "$device_error" ]
}

read_device_lines() {
  while read -r conf_key conf_value || [ -n "$conf_key" ]; do
    read_device_line "$conf_key" "$conf_value" && continue
    device_error="device.conf: '$conf_key $conf_value' is nothing that this launcher knows"
    return
  done <"$root/device.conf"
  if [ -z "$conf_schema" ]; then
    device_error="device.conf: 'schema' is missing"
  elif [ "$conf_network" = vsock ] && [ -z "$conf_gvproxy" ]; then
    device_error="device.conf: 'gvproxy' is missing, which 'network vsock' needs"
  fi
}

# read_device_line KEY VALUE: fails for anything outside of the closed list.
read_device_line() {
  case $1:$2 in
    schema:1) conf_schema=$2 ;;
    kind:local | kind:adb) conf_kind=$2 ;;
    network:user | network:vsock | network:tap) conf_network=$2 ;;
    gvproxy:*)
      case $2 in *[!0-9a-f]*) return 1 ;; esac
      [ ${#2} -eq 64 ] && conf_gvproxy=$2
      ;;
    reserve:*) is_number "$2" && conf_reserve=$2 ;;
    awake:yes | awake:no) conf_awake=$2 ;;
    hook:/*) conf_hook=$2 ;;
    *) return 1 ;;
  esac
}
