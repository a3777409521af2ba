#!/bin/sh
# The launcher: keeps one service's virtual machine on this device.
#
#   launch.sh start ROOT SERVICE          start the supervisor in a session of its own; returns once it runs
#   launch.sh run ROOT SERVICE            be the supervisor
#   launch.sh stop ROOT SERVICE SECONDS   ask the guest to stop, cut its power after SECONDS
#   launch.sh status ROOT                 `SERVICE KEY VALUE` lines of every service, `- KEY VALUE` of the device
#   launch.sh boot ROOT                   what the boot hook calls: starts the keeper, detached
#   launch.sh keep ROOT                   be the keeper
#   launch.sh halt ROOT SECONDS           stop every service and the keeper; what is wanted comes back with `boot`
#   launch.sh remove ROOT                 take back everything that was set on this device
#   launch.sh ask ROOT SERVICE SECONDS VERB WORD…   what the guest answers over the control channel (docs/formats.md)
#   launch.sh settle ROOT SERVICE         put the data disk from before a trial that is over in its place again
#   launch.sh network ROOT                make the network of the guests anew; connections through it end
#   launch.sh tell ROOT                   send the owner what needs attention (docs/formats.md, "Messages")
#   launch.sh check ROOT                  nothing: all of this launcher's parts could be read
#
# ROOT is the device's folder (docs/formats.md, "Release"). POSIX sh that also runs under Android's mksh with toybox:
# no arithmetic past 32 bits, no options that only GNU tools know. Paths in the plan never pass through eval.
set -uf
LC_ALL=C
export LC_ALL
umask 077

here=$(cd "${0%/*}" && pwd) || exit 1
launcher=$here/launch.sh
# shellcheck source=lib/say.sh
. "$here/lib/say.sh"
# shellcheck source=lib/state.sh
. "$here/lib/state.sh"
# shellcheck source=lib/process.sh
. "$here/lib/process.sh"
# shellcheck source=lib/device-conf.sh
. "$here/lib/device-conf.sh"
# shellcheck source=lib/store.sh
. "$here/lib/store.sh"
# shellcheck source=lib/plan.sh
. "$here/lib/plan.sh"
# shellcheck source=lib/control.sh
. "$here/lib/control.sh"
# shellcheck source=lib/clock.sh
. "$here/lib/clock.sh"
# shellcheck source=lib/ask.sh
. "$here/lib/ask.sh"
# shellcheck source=lib/logs.sh
. "$here/lib/logs.sh"
# shellcheck source=lib/exit.sh
. "$here/lib/exit.sh"
# shellcheck source=lib/vm.sh
. "$here/lib/vm.sh"
# shellcheck source=lib/trial.sh
. "$here/lib/trial.sh"
# shellcheck source=lib/trial-data.sh
. "$here/lib/trial-data.sh"
# shellcheck source=lib/variant.sh
. "$here/lib/variant.sh"
# shellcheck source=lib/net.sh
. "$here/lib/net.sh"
# shellcheck source=lib/net-vsock.sh
. "$here/lib/net-vsock.sh"
# shellcheck source=lib/net-rules.sh
. "$here/lib/net-rules.sh"
# shellcheck source=lib/net-tap.sh
. "$here/lib/net-tap.sh"
# shellcheck source=lib/detach.sh
. "$here/lib/detach.sh"
# shellcheck source=lib/services.sh
. "$here/lib/services.sh"
# shellcheck source=lib/space.sh
. "$here/lib/space.sh"
# shellcheck source=lib/awake.sh
. "$here/lib/awake.sh"
# shellcheck source=lib/soon.sh
. "$here/lib/soon.sh"
# shellcheck source=lib/notify.sh
. "$here/lib/notify.sh"
# shellcheck source=lib/update.sh
. "$here/lib/update.sh"
# shellcheck source=lib/keeper.sh
. "$here/lib/keeper.sh"
# shellcheck source=lib/supervise.sh
. "$here/lib/supervise.sh"
# shellcheck source=lib/start.sh
. "$here/lib/start.sh"
# shellcheck source=lib/stop.sh
. "$here/lib/stop.sh"
# shellcheck source=lib/halt.sh
. "$here/lib/halt.sh"
# shellcheck source=lib/status.sh
. "$here/lib/status.sh"

usage() {
  die 2 "usage: launch.sh start|run|settle ROOT SERVICE, stop ROOT SERVICE SECONDS, ask ROOT SERVICE SECONDS VERB WORD…, status|boot|keep|tell|network|remove ROOT, halt ROOT SECONDS"
}

[ $# -ge 2 ] || usage
verb=$1
root=$2
service=${3:-}

# Seconds between two looks at what we wait for: a fraction where this device's sleep knows them.
nap=1
if [ "$verb" != status ] && sleep 0.01 2>/dev/null; then nap=0.2; fi

# The service's folder is the working directory from here on: every other path is relative to it.
enter_service() {
  case $service in '' | *[!a-z0-9-]*) die 2 "no service name: '$service'" ;; esac
  cd "$root/services/$service" 2>/dev/null || die 4 "service $service was never deployed here: $root/services/$service"
  mkdir -p state log || die 1 "cannot write in $root/services/$service"
}

case $verb.$# in
  ask.[5-9])
    is_number "$4" || usage
    enter_service
    shift 3
    ask_guest "$@"
    ;;
  start.3) enter_service && start_supervisor ;;
  run.3) enter_service && supervise ;;
  settle.3) enter_service && settle_service ;;
  stop.4)
    is_number "$4" || usage
    enter_service && stop_service "$4"
    ;;
  status.2) status_all ;;
  boot.2) boot_device ;;
  keep.2) keep ;;
  tell.2) tell_owner ;;
  halt.3)
    is_number "$3" || usage
    halt_device "$3"
    ;;
  network.2) net_anew ;;
  remove.2) remove_device ;;
  check.2) echo 'sovereign launcher' ;;
  *) usage ;;
esac
