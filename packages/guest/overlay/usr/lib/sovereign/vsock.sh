# shellcheck shell=sh disable=SC2154
# A network without a network card: eth0 is a TAP device of the guest's own, and a program carries its packets over
# vsock to the device (docs/formats.md, "Network plan"). Sourced after common.sh.

# vsock_interface PORT: makes eth0 with the packet size of the settings, and starts what carries it to that port of the
# device. Its addresses are set like those of every other interface.
vsock_interface() {
	vsock_port=$1
	value eth0-mtu "$CONFIG/guest.conf" || return 1
	vsock_mtu=$value
	value eth0-gateway "$CONFIG/guest.conf" || return 1
	vsock_gateway=$value
	# That of iproute2: BusyBox makes no TAP devices.
	[ -e "${SOVEREIGN_SYS:-/sys}/class/net/eth0" ] || ip tuntap add dev eth0 mode tap || return 1
	ip link set dev eth0 mtu "$vsock_mtu" || return 1
	# No OpenRC service: that costs half a second of CPU under emulation, also where there is nothing to do, and this
	# one stays until the power is cut. It tries again every second while nobody listens at the port, and comes back
	# for as long as it takes.
	RC_SVCNAME=gvforwarder supervise-daemon gvforwarder --start --pidfile /run/gvforwarder.pid \
		--respawn-delay 1 --respawn-max 0 --stdout /dev/console --stderr /dev/console \
		/usr/lib/sovereign/gvforwarder -- \
		-url "vsock://2:$vsock_port" -iface eth0 -mtu "$vsock_mtu" -gateway "$vsock_gateway"
}
