# Keeps a phone awake while a service is wanted: a wake lock of the kernel's, and Wi-Fi without power saving.
# shellcheck shell=sh

WAKE_LOCK=sovereign
# Wi-Fi's setting is lost when Android's framework restarts, and refused before that is up: said again after this many
# seconds, where it was taken, and where it was not.
WIFI_AGAIN=600
WIFI_RETRY=30

awake_keep() {
  if [ "$device_awake" != yes ] || [ -z "$awake_wanted" ]; then
    awake_off
    return
  fi
  if [ -z "${awake:-}" ]; then
    awake=yes
    wifi_at=0
    put "$root/keeper/state/awake" yes
    { echo $WAKE_LOCK >/sys/power/wake_lock; } 2>/dev/null || log 'no wake lock: this device may fall asleep'
  fi
  [ "$now" -ge "$wifi_at" ] || return 0
  if wifi_full_power enabled; then wifi_at=$((now + WIFI_AGAIN)); else wifi_at=$((now + WIFI_RETRY)); fi
}

# awake_off: whoever set it, and any number of times.
awake_off() {
  awake=''
  [ -e "$root/keeper/state/awake" ] || return 0
  { echo $WAKE_LOCK >/sys/power/wake_unlock; } 2>/dev/null
  wifi_full_power disabled || log 'Wi-Fi may still be held at full power'
  rm -f "$root/keeper/state/awake"
}

# wifi_full_power enabled|disabled
wifi_full_power() {
  command -v cmd >/dev/null || return 1
  timeout 10 cmd wifi force-hi-perf-mode "$1" </dev/null >/dev/null 2>&1
}
