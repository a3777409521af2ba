# Routing and filtering for mode `tap`, beside Android's netd, which knows nothing of guests: what it forwards ends in
# `32000: from all unreachable` and in its chain tetherctrl_FORWARD, which drops. Our rules have priorities below netd's
# (10000 and up), our chains are named sovereign_* and come first. The working directory is ROOT/net here.
# shellcheck shell=sh

# Priorities of our routing rules: the first leads to the guests, the others lead from them.
RULES_FIRST=9000
RULES_LAST=9899
NETD_FIRST=10000
# A bit of the packet mark that netd's Fwmark keeps in reserve (system/netd, include/Fwmark.h).
RULES_MARK=0x4000000/0x4000000
# Between two looks at the chains, in seconds.
RULES_LOOK=30
# Table, built-in chain and the chain of ours that comes first in it.
RULES_CHAINS='filter FORWARD sovereign_FORWARD
filter INPUT sovereign_INPUT
mangle PREROUTING sovereign_MARK
mangle FORWARD sovereign_MSS
nat POSTROUTING sovereign_NAT'

# Safe to repeat, and quick where all is as it should be. Fails with $net_error.
rules_up() {
  put state/rules up
  forward_up && routes_up && chains_up
}

rules_down() {
  chains_down
  routes_down
  forward_down
  rm -f state/rules
}

# Forwarding as it was before is remembered. Tethering turns it off when it ends, hence not only once.
forward_up() {
  read -r net_value </proc/sys/net/ipv4/ip_forward
  [ -e state/forward ] || put state/forward "$net_value"
  [ "$net_value" = 1 ] || echo 1 >/proc/sys/net/ipv4/ip_forward || {
    net_error='forwarding cannot be turned on'
    return 1
  }
}

forward_down() {
  get state/forward || return 0
  [ "$value" = 1 ] || echo "$value" >/proc/sys/net/ipv4/ip_forward
}

# The guests' packets take the way that a program of this device would take now: netd's rules that apply to it, in
# their order, as rules for what comes in from the bridge. A change of the uplink or a VPN changes them.
routes_up() {
  net_listed=$(ip -4 rule) || {
    net_error='the routing rules cannot be listed'
    return 1
  }
  routes_wanted
  routes_ours
  [ "$net_wanted" != "$net_ours" ] || return 0
  # New ones first, so that there is no moment without any.
  IFS=$LF
  for net_line in $net_wanted; do
    case $LF$net_ours in *"$LF$net_line$LF"*) continue ;; esac
    route_do add "$net_line" || return 1
  done
  IFS=$LF
  for net_line in $net_ours; do
    case $LF$net_wanted in *"$LF$net_line$LF"*) continue ;; esac
    route_do del "$net_line" || return 1
  done
  IFS=" 	$LF"
  log "network: the guests are routed by:$net_way"
}

# routes_wanted: sets $net_wanted to our rules, each as `ip rule` prints it with single blanks, and $net_way to their tables.
routes_wanted() {
  net_wanted="$RULES_FIRST: from all to $NET_SUBNET lookup main$LF"
  net_way=''
  net_next=$((RULES_FIRST + 1))
  IFS=$LF
  for net_line in $net_listed; do
    IFS=" 	$LF"
    route_of_local_program "$net_line" || continue
    case " $net_way " in *" $net_action "*) continue ;; esac
    [ "$net_next" -le "$RULES_LAST" ] || break
    net_way="$net_way $net_action"
    net_wanted="$net_wanted$net_next: from all iif $TAP_BRIDGE $net_action$LF"
    net_next=$((net_next + 1))
    # What refuses ends the list.
    case $net_action in lookup\ *) ;; *) break ;; esac
  done
  IFS=" 	$LF"
}

# route_of_local_program LINE: true for a rule of netd that a program of root with an unmarked socket meets; sets
# $net_action to what it does. Anything that is not understood is no such rule.
route_of_local_program() {
  # shellcheck disable=SC2086
  set -- $1
  net_action=''
  is_number "${1%:}" && [ "${1%:}" -ge $NETD_FIRST ] || return 1
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      from) [ "${2:-}" = all ] || return 1 ;;
      fwmark) case ${2:-} in 0/* | 0x0/*) ;; *) return 1 ;; esac ;;
      iif) [ "${2:-}" = lo ] || return 1 ;;
      uidrange) case ${2:-} in 0-*) ;; *) return 1 ;; esac ;;
      proto) ;;
      lookup) net_action="lookup ${2:-}" ;;
      unreachable | prohibit | blackhole)
        net_action=$1
        shift
        continue
        ;;
      *) return 1 ;;
    esac
    [ $# -ge 2 ] || return 1
    shift 2
  done
  [ -n "$net_action" ]
}

# routes_ours: sets $net_ours to those of our rules that are in place, in the spelling of routes_wanted.
routes_ours() {
  net_ours=''
  IFS=$LF
  for net_line in $net_listed; do
    IFS=" 	$LF"
    case $net_line in *"iif $TAP_BRIDGE "* | *"to $NET_SUBNET "*) rule_of_ours "$net_line" ;; esac
  done
  IFS=" 	$LF"
}

rule_of_ours() {
  # shellcheck disable=SC2086
  set -- $1
  net_rule=$1
  is_number "${1%:}" && [ "${1%:}" -ge "$RULES_FIRST" ] || return 0
  [ "${1%:}" -le "$RULES_LAST" ] || return 0
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      # Who made it is told by some releases; `[detached]` where the bridge is gone.
      proto) shift ;;
      '[detached]') ;;
      *) net_rule="$net_rule $1" ;;
    esac
    shift
  done
  net_ours=$net_ours$net_rule$LF
}

# route_do add|del LINE
route_do() {
  IFS=" 	$LF"
  # shellcheck disable=SC2086
  tap_do ip -4 rule "$1" pref "${2%%:*}" ${2#*: }
}

routes_down() {
  net_listed=$(ip -4 rule) || return
  routes_ours
  IFS=$LF
  for net_line in $net_ours; do
    route_do del "$net_line" || net_problem "$net_error"
  done
  IFS=" 	$LF"
}

# Our chains, filled once and looked at again: when netd starts anew it empties the built-in ones.
chains_up() {
  uptime_now
  [ "$now" -ge "$net_chains_at" ] || return 0
  IFS=$LF
  for net_line in $RULES_CHAINS; do
    IFS=" 	$LF"
    # shellcheck disable=SC2086
    set -- $net_line
    net_table=$1
    chain_up "$2" "$3" || return 1
  done
  IFS=" 	$LF"
  net_chains_at=$((now + RULES_LOOK))
}

# chain_up BUILTIN CHAIN
chain_up() {
  chain_rules "$2"
  if [ -z "$net_rules" ] || ! get "state/chain-$2" || [ "$value" != "$net_rules" ]; then
    [ -n "$net_rules" ] || table_do -N "$2" || return 1
    table_do -F "$2" && chain_fill "$2" || return 1
    chain_rules "$2"
    put "state/chain-$2" "$net_rules"
  fi
  chain_rules "$1"
  case $net_rules in
    *" -j $2"*" -j $2"*) ;;
    *) case ${net_rules#*-A "$1" } in "-j $2" | "-j $2 "*) return 0 ;; esac ;;
  esac
  chain_leave "$1" "$2"
  table_do -I "$1" 1 -j "$2"
}

# chain_fill CHAIN. What comes from a guest is marked where it comes in, and known by that where it goes out, since
# uplinks have many names. Nobody opens a connection to a guest but the device itself, no guest one to the device.
chain_fill() {
  case $1 in
    sovereign_FORWARD)
      table_do -A "$1" -i "$TAP_BRIDGE" -s "$NET_SUBNET" -j ACCEPT &&
        table_do -A "$1" -o "$TAP_BRIDGE" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT &&
        table_do -A "$1" -o "$TAP_BRIDGE" -j DROP
      ;;
    sovereign_INPUT)
      table_do -A "$1" -i "$TAP_BRIDGE" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT &&
        table_do -A "$1" -i "$TAP_BRIDGE" -p icmp --icmp-type echo-request -j ACCEPT &&
        table_do -A "$1" -i "$TAP_BRIDGE" -j DROP
      ;;
    sovereign_MARK) table_do -A "$1" -i "$TAP_BRIDGE" -j MARK --set-xmark "$RULES_MARK" ;;
    sovereign_MSS)
      for net_way_of in -i -o; do
        table_do -A "$1" "$net_way_of" "$TAP_BRIDGE" -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu ||
          return 1
      done
      ;;
    sovereign_NAT) table_do -A "$1" -m mark --mark "$RULES_MARK" ! -o "$TAP_BRIDGE" -j MASQUERADE ;;
  esac
}

chains_down() {
  IFS=$LF
  for net_line in $RULES_CHAINS; do
    IFS=" 	$LF"
    # shellcheck disable=SC2086
    set -- $net_line
    net_table=$1
    chain_leave "$2" "$3"
    chain_rules "$3"
    [ -z "$net_rules" ] || { table_do -F "$3" && table_do -X "$3"; } || net_problem "$net_error"
    rm -f "state/chain-$3"
  done
  IFS=" 	$LF"
}

# chain_leave BUILTIN CHAIN: no jump to it is left, however many there were.
chain_leave() {
  net_left=20
  while [ "$net_left" -gt 0 ] && table_do -D "$1" -j "$2"; do
    net_left=$((net_left - 1))
  done
}

# chain_rules CHAIN: sets $net_rules to its rules in one line, empty where there is no such chain.
chain_rules() {
  net_rules=$(iptables -w -t "$net_table" -S "$1" 2>/dev/null) || net_rules=''
  # shellcheck disable=SC2086
  set -- $net_rules
  net_rules=$*
}

# Never without -w: netd holds the lock often.
table_do() {
  tap_do iptables -w -t "$net_table" "$@"
}
