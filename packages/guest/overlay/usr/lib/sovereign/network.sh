# shellcheck shell=sh disable=SC2154
# Addresses, routes and name servers of the settings. Sourced after common.sh.

# network_addresses: sets what guest.conf names, `ethN-address ADDRESS/BITS` with `ethN-mac MAC`, `ethN-gateway ADDRESS`
# and `dns ADDRESS` beside it; what is set already stays. Fails where one could not be set, after having tried them all.
# Addresses are static: a lease would add a wait and a way to fail to every boot.
network_addresses() {
	network_failed=0
	# Before the others: services talk to themselves over it.
	busybox ip link set lo up || network_failed=1
	{
		while read -r key word _; do
			case $key in
			eth[0-9]-mac) busybox ip link set "${key%-mac}" address "$word" || network_failed=1 ;;
			eth[0-9]-address)
				interface=${key%-address}
				busybox ip address replace "$word" dev "$interface" && busybox ip link set "$interface" up || network_failed=1
				;;
			eth[0-9]-gateway) busybox ip route replace default via "$word" dev "${key%-gateway}" || network_failed=1 ;;
			dns) echo "nameserver $word" ;;
			esac
		done <"$CONFIG/guest.conf"
		echo 'options timeout:2 attempts:2'
	} >/run/resolv.conf
	return $network_failed
}
