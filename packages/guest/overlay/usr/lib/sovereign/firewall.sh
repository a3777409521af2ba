# shellcheck shell=sh disable=SC2154
# The firewall of the guest. Sourced after common.sh.
#
# eth1, where there is one, leads to the neighbours on this device: they reach the declared ports and nothing else.
# closed: how every boot begins. Only SSH from the gateway, and what the guest began itself.
# open: also the ports that the service publishes, and to the tailnet those that it declares for it.
# Both: nothing is begun towards the gateway but a ping, and name look-ups where it is the name server too. In QEMU's
# user network that address is the host's own loopback, where things listen that trust whoever reaches them.
# What is dropped is counted: `nft list table inet sovereign`.

# rules closed|open: the ruleset for nft(8), by builtins.
rules() {
	tailnet=
	! value tailnet "$CONFIG/guest.conf" || [ "$value" != yes ] || tailnet=yes
	echo '
		add table inet sovereign
		delete table inet sovereign
		table inet sovereign {'
	[ -z "$tailnet" ] || rules_tailnet "$1"
	value eth1-address "$CONFIG/guest.conf" || :
	neighbours=$value
	value eth0-gateway "$CONFIG/guest.conf" || :
	echo '
			chain input {
				type filter hook input priority filter; policy drop;
				iifname "lo" accept
				iifname != "tailscale0" ip saddr 100.64.0.0/10 counter drop comment "no address of the tailnet comes from elsewhere"
				iifname != "tailscale0" ip6 saddr fd7a:115c:a1e0::/48 counter drop comment "no address of the tailnet comes from elsewhere"'
	# A network of its own for the neighbours: what they send has their addresses, and nothing else has.
	[ -z "$neighbours" ] || echo "
				iifname \"eth1\" ip saddr != $neighbours counter drop comment \"no address of a neighbour\"
				iifname \"eth1\" meta nfproto ipv6 counter drop comment \"neighbours have none\"
				iifname != \"eth1\" ip saddr $neighbours counter drop comment \"no neighbour comes from elsewhere\""
	echo '
				ct state { established, related } accept
				ct state invalid counter drop comment "of no connection"'
	[ -z "$tailnet" ] || echo '
				iifname "tailscale0" goto tailnet
				udp dport 41641 accept comment "packets between the nodes of the tailnet, encrypted"'
	echo '
				ip protocol icmp icmp type { echo-request, destination-unreachable, time-exceeded, parameter-problem } accept
				ip6 nexthdr icmpv6 icmpv6 type { echo-request, destination-unreachable, packet-too-big, time-exceeded, parameter-problem, nd-neighbor-solicit, nd-neighbor-advert } accept
'
	[ -z "$value" ] || echo "iifname eth0 ip saddr $value tcp dport 22 accept"
	if [ "$1" = open ]; then
		while read -r key _ number; do
			[ "$key" != port ] || echo "iifname \"eth*\" tcp dport $number accept"
		done <"$SERVICE_CONF"
	fi
	echo '
				counter comment "dropped"
			}
			chain forward {
				type filter hook forward priority filter; policy drop;
				counter comment "dropped"
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

# rules_tailnet closed|open: what comes out of the tunnel. A port is known by the number that the tailnet has for it,
# also after it was redirected: the guest's own number is no second entrance.
# Segments are as small as makes an encrypted packet of 1280 bytes, which every line takes: where a line had no room for
# larger ones, hardly any came through (docs/benchmarks.md).
rules_tailnet() {
	echo '
			chain tailnet {'
	if [ "$1" = open ]; then
		echo '
				icmp type echo-request accept
				icmpv6 type echo-request accept'
		while read -r key _ number guest; do
			[ "$key" != tailnet ] || echo "tcp dport $guest ct original proto-dst $number accept"
		done <"$SERVICE_CONF"
	fi
	echo '
				counter drop comment "not for the tailnet"
			}
			chain tailnet_from {
				type filter hook prerouting priority mangle;
				iifname "tailscale0" tcp flags syn tcp option maxseg size set 1140
			}
			chain tailnet_to {
				type filter hook postrouting priority mangle;
				oifname "tailscale0" tcp flags syn tcp option maxseg size set 1140
			}'
	redirects=
	while read -r key _ number guest; do
		[ "$key" != tailnet ] || [ "$number" = "$guest" ] ||
			redirects="$redirects iifname \"tailscale0\" tcp dport $number redirect to :$guest;"
	done <"$SERVICE_CONF"
	[ -z "$redirects" ] || echo "
			chain tailnet_ports {
				type nat hook prerouting priority dstnat; $redirects
			}"
}

# firewall closed|open: loads the rules all at once; the old ones hold until the new ones do.
firewall() {
	# Written out first: a list cut short must not be loaded.
	rules "$1" >"$RUN/firewall.nft" && nft -f "$RUN/firewall.nft" && echo "$1" >"$RUN/state/firewall"
}
