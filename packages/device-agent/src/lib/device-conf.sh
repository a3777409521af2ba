# ROOT/device.conf: what the workstation decided about this device (docs/formats.md, "Device settings").
# shellcheck shell=sh

# read_device_conf: sets the device_* variables; fails with $device_error where the file cannot be followed as written.
# Without the file this is a local device, whose VMM makes each machine's network by itself.
read_device_conf() {
  device_error=''
  device_schema=''
  device_kind=local
  device_network=user
  device_gvproxy=''
  device_reserve=0
  device_awake=no
  device_hook=''
  [ -e "$root/device.conf" ] || return 0
  while read -r device_key device_value; do
    read_device_line "$device_key" "$device_value" && continue
    device_error="device.conf: '$device_key $device_value' is nothing that this launcher knows"
    return 1
  done <"$root/device.conf"
  if [ -z "$device_schema" ]; then
    device_error="device.conf: 'schema' is missing"
  elif [ "$device_network" = vsock ] && [ -z "$device_gvproxy" ]; then
    device_error="device.conf: 'gvproxy' is missing, which 'network vsock' needs"
  fi
  [ -z "$device_error" ]
}

# read_device_line KEY VALUE: fails for anything outside of the closed list.
read_device_line() {
  case $1:$2 in
    schema:1) device_schema=$2 ;;
    kind:local | kind:adb) device_kind=$2 ;;
    network:user | network:vsock | network:tap) device_network=$2 ;;
    gvproxy:*)
      case $2 in *[!0-9a-f]*) return 1 ;; esac
      [ ${#2} -eq 64 ] && device_gvproxy=$2
      ;;
    reserve:*) is_number "$2" && device_reserve=$2 ;;
    awake:yes | awake:no) device_awake=$2 ;;
    hook:/*) device_hook=$2 ;;
    *) return 1 ;;
  esac
}
