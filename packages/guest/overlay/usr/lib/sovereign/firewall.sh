# shellcheck shell=sh disable=SC2154
# The firewall of the guest. Sourced after common.sh.
#
# closed: how every boot begins. Only SSH from the gateway, and what the guest began itself.
# open: also the ports that the service publishes.
# Both: nothing is begun towards the gateway but a ping, and name look-ups where it is the name server too. In QEMU's
# user network that address is the host's own loopback, where things listen that trust whoever reaches them.

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
			chain output {
				type filter hook output priority filter; policy accept;
				ct state { established, related } accept
'
	if value eth0-gateway "$CONFIG/guest.conf"; then
		echo "ip daddr $value icmp type echo-request accept"
		while read -r key word _; do
			[ "$key $word" != "dns $value" ] || echo "ip daddr $value meta l4proto { tcp, udp } th dport 53 accept"
		done <"$CONFIG/guest.conf"
		echo "ip daddr $value reject with icmpx type admin-prohibited"
	fi
	echo '
			}
		}'
}

# firewall closed|open: loads the rules all at once; the old ones hold until the new ones do.
firewall() {
	# Written out first: a list cut short must not be loaded.
	rules "$1" >"$RUN/firewall.nft" && nft -f "$RUN/firewall.nft" && echo "$1" >"$RUN/state/firewall"
}
