# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests of networks share.

# passt gives a guest the address that the host has where it goes out, 10.7.0.2; what the guest reaches is another one of
# the host's, 10.8.0.1. False where there is no such network within a minute.
network_for_passt() {
	ip link set lo up
	ip addr add 10.8.0.1/32 dev lo
	echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad # an address can be used at once
	socat -u TUN:10.7.0.2/24,tun-type=tap,tun-name=public,up OPEN:/dev/null &
	pid[network]=$!
	until_true 60 ip route add default via 10.7.0.1 || return
	ip addr add fd00:7::2/64 dev public && ip -6 route add default via fd00:7::1 dev public
}

# server FROM TO: of the host, one of socat's addresses to another.
server() { socat -u "$1" "$2" & pid[server]=$!; }

# The host's port 2222 is forwarded to where a guest echoes what it gets. The host speaks first: passt before 2024
# waits for that. forwarded [ADDRESS PORT]
forwarded() {
	local line=''
	exec {tcp}<>"/dev/tcp/${1:-127.0.0.1}/${2:-2222}" && echo and-back >&"$tcp" && read -r -t 10 -u "$tcp" line
	exec {tcp}>&-
	[ "$line" = and-back ]
}
