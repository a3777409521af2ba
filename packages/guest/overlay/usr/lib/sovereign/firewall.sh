# shellcheck shell=sh disable=SC2154
# The firewall of the guest. Sourced after common.sh.
#
# closed: how every boot begins. Only SSH from the gateway, and what the guest began itself.
# open: also the ports that the service publishes.

# rules closed|open: the ruleset for nft(8), by builtins.
rules() {
	value eth0-gateway "$CONFIG/guest.conf" || :
	echo '
		add table inet sovereign
		delete table inet sovereign
		table inet sovereign {
			chain input {
				type filter hook input priority filter; policy drop;
				iifname "lo" accept
				ct state vmap { established : accept, related : accept, invalid : drop }
				ip protocol icmp icmp type { echo-request, destination-unreachable, time-exceeded, parameter-problem } accept
				ip6 nexthdr icmpv6 icmpv6 type { echo-request, destination-unreachable, packet-too-big, time-exceeded, parameter-problem, nd-neighbor-solicit, nd-neighbor-advert } accept
'
	[ -z "$value" ] || echo "iifname eth0 ip saddr $value tcp dport 22 accept"
	if [ "$1" = open ]; then
		while read -r key _ number; do
			[ "$key" != port ] || echo "tcp dport $number accept"
		done <"$SERVICE_CONF"
	fi
	echo '
			}
			chain forward {
				type filter hook forward priority filter; policy drop;
			}
		}'
}

# firewall closed|open: loads the rules all at once; the old ones hold until the new ones do.
firewall() {
	# Written out first: a list cut short must not be loaded.
	rules "$1" >"$RUN/firewall.nft" && nft -f "$RUN/firewall.nft" && echo "$1" >"$RUN/state/firewall"
}
