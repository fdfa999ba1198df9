#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# memory: 3072
# all
# timeout: 1200
# with: guest-io
# A Linux guest's networks and sockets under the load of real clients. iperf3, TCP both ways over a tap interface, one that
# the host's kernel serves (vhost) and passt: all runs come to their end, and no interface counts an error or a dropped
# frame. UDP both ways over the taps: no datagram is lost, at a rate that this host carries; what may have to wait has room
# to (all datagrams of a run fit into each queue), so that none is lost for want of time. UDP both ways over passt, and by a
# forwarded port to a server in the guest: most come. Over vhost all of it while the
# guest's memory grows and shrinks. And socat over vsock, both ways at once, with every byte compared.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/network.bash"
. "$(dirname "$0")/guest-io.bash"

[ -c /dev/vhost-net ] && [ -c /dev/vhost-vsock ] || { echo '1..0 # SKIP this host has no /dev/vhost-net and -vsock'; exit; }
# It is the host's, whose network has no namespace.
check "sockets have room" nsenter --net=/proc/1/ns/net sh -c 'echo $((32 << 20)) >/proc/sys/net/core/rmem_default'
check "has a network" network_for_passt
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 # on the taps nobody else speaks

ram='0x0 0x14000000'
card() { echo "$1 { compatible = \"sluice,virtio-net\"; $2 };"; }
tree net 2 6.12 "aliases { virtio0 = \"/io\"; virtio1 = \"/tap\"; virtio2 = \"/vhost\"; virtio3 = \"/passt\"; };
	io { compatible = \"sluice,virtio-blk\"; file = \"$io_disk\"; read-only; }; vsock0 { compatible = \"sluice,virtio-vsock\"; cid = <7>; };
	$(usual_window) $(card tap 'tap = "tap0";') $(card vhost 'tap = "tap1"; vhost;') $(card passt 'passt; forward-tcp = "10.8.0.1/5203:5203"; forward-udp = "10.8.0.1/5203:5203";')" ipv6.disable=1
run net
check "boots" booted net
check "has iperf3 and socat" mounts_io net vda

# The host's and the guest's addresses on card 0 to 2.
declare -A host=([tap]=10.9.0.1 [vhost]=10.9.1.1 [passt]=10.8.0.1)
taps_up() {
	local i
	for i in 0 1; do
		echo 10000 >/sys/class/net/tap$i/tx_queue_len && ip link set tap$i up && ip addr add 10.9.$i.1/24 dev tap$i &&
			guest net 60 "ip addr add 10.9.$i.2/24 dev eth$i && ip link set eth$i up && until ping -c 1 -W 1 10.9.$i.1; do :; done" || return
	done
}
check "taps are up" taps_up
check "passt is up" guest net 60 'ip addr add 10.7.0.2/24 dev eth2 && ip link set eth2 mtu 65520 up && ip route add default via 10.7.0.1'
guest net 60 "echo $((32 << 20)) >/proc/sys/net/core/rmem_default"
"$io/iperf3" -s --forceflush >"$work/server" 2>&1 & pid[server]=$!
"$io/iperf3" -s -p 5202 >"$work/second" 2>&1 & pid[second]=$!
check "a server listens" until_line 60 listening "$work/server"

# What interfaces count: none of it may change.
counters() {
	local files='statistics/*_[ed]r*' # errors, dropped
	(cd /sys/class/net && grep -H . tap[01]/$files)
	guest net 60 "cd /sys/class/net && grep -H . eth?/$files"
}
counters >"$work/before"

# tcp CARD [OPTION], udp CARD [OPTION]: a run to its end. Of TCP's is said what was sent again, of UDP's nothing is lost.
client() { guest net 200 "$io/iperf3 -f m -i 0 -c ${host[$1]} ${*:2}" >"$work/client" && grep -E 'sender|receiver' "$work/client" || { cat "$work/client"; return 1; }; }
tcp() {
	client "$1" -t 4 "${@:2}" && awk '/receiver/ { came += $5 } /sender/ { again += $9 } END { print again + 0, "sent again"; exit !came }' "$work/client"
}
udp() {
	client "$1" -u -b 8M -l 1000 -t 4 "${@:2}" && datagrams # 4000 of them, or what it comes to
}
# None of a run is lost.
datagrams() {
	awk '/receiver/ { split($(NF - 2), of, "/"); lost += of[1]; all += of[2] } END { print lost, "of", all, "lost"; exit !(all > 100 && !lost) }' "$work/client" || { cat "$work/client"; false; }
}
# Most come: passt drops datagrams for which its socket to the monitor has no room, as a guest that is slow leaves it.
most() {
	awk '/receiver/ { split($(NF - 2), of, "/"); lost += of[1]; all += of[2] } END { print all - lost, "of 250 came"; exit !(all - lost > 125) }' "$work/client" || { cat "$work/client"; false; }
}
slowly=(-u -b 500k -l 1000 -k 250)
# said COMMAND...: what it prints is the test's too.
said() { "$@" >"$work/said" 2>&1 && sed 's/^/# /' "$work/said" >&3 || { cat "$work/said"; false; }; }
exec 3>&1
for card in tap passt; do
	check "$card: TCP out" said tcp $card
	check "$card: TCP in" said tcp $card -R
done
check "tap: UDP out" said udp tap
check "tap: UDP in" said udp tap -R
udp_passt() { client passt "${slowly[@]}" "$@" && most; }
check "passt: UDP out" said udp_passt
check "passt: UDP in" said udp_passt -R
# A server in the guest. iperf3 has a connection of TCP beside what it sends by UDP, so both are forwarded: from an address
# that is not the loopback's, where no answer of UDP's came back through Debian 12's passt.
forwarded_udp() {
	timeout 200 "$io/iperf3" -f m -i 0 -c 10.8.0.1 -p 5203 "${slowly[@]}" "$@" >"$work/client" && most || { cat "$work/client"; false; }
}
check "passt: a server in the guest listens" guest net 60 "$io/iperf3 -s -p 5203 --forceflush >/tmp/server 2>&1 & until grep listening /tmp/server; do sleep 0.1; done"
check "passt: forwarded UDP to the guest" said forwarded_udp
check "passt: forwarded UDP from the guest" said forwarded_udp -R

rounds() {
	local i
	for i in 1 2 3; do "$SLUICE" mem net 512MiB && "$SLUICE" mem net 0 || return; done
}
rounds >"$work/rounds" 2>&1 & rounds=$!
# at_once OPTION OPTION: UDP beside TCP, which takes all that is left, each one's way by its option.
at_once() {
	guest net 200 "$io/iperf3 -f m -i 0 -c ${host[vhost]} -t 5 $2 >/tmp/tcp & sleep 0.5
		$io/iperf3 -f m -i 0 -c ${host[vhost]} -p 5202 -u -b 8M -l 1000 -t 4 $1; wait; grep -q receiver /tmp/tcp" >"$work/client" && datagrams
}
vhost() {
	local runs=0
	while [ $runs = 0 ] || kill -0 "$rounds" 2>/dev/null; do
		tcp vhost && tcp vhost -R && at_once '' '' && at_once '' -R && at_once -R '' && at_once -R -R || return
		runs=$((runs + 6))
	done
	echo "$runs runs while memory came and went"
}
check "vhost: all of it while memory comes and goes" said vhost
check "memory came and went" eval 'cat "$work/rounds"; wait "$rounds" && [ $(wc -l <"$work/rounds") -gt 0 ]'
nothing_counted() { counters >"$work/after"; diff "$work/before" "$work/after" && [ "$(wc -l <"$work/after")" -gt 20 ]; }
check "nothing is counted as an error or dropped" nothing_counted

# Sockets: a file each way at once.
head -c 16M /dev/urandom >"$work/data"
both_ways() {
	local sum
	rm -f "$work/came"
	socat -u VSOCK-LISTEN:9 "OPEN:$work/came,creat" & pid[in]=$!
	socat -u "OPEN:$work/data" VSOCK-LISTEN:10 & pid[out]=$!
	sum=$(guest net 200 "head -c 16777216 /dev/urandom >/tmp/data; cd /tmp
		{ until $io/socat -u OPEN:/tmp/data VSOCK-CONNECT:2:9; do sleep 0.2; done; } 2>/dev/null &
		until $io/socat -u VSOCK-CONNECT:2:10 OPEN:/tmp/came,creat,trunc 2>/dev/null && [ -s /tmp/came ]; do sleep 0.2; done
		wait; sha256sum </tmp/data; sha256sum </tmp/came") && wait "${pid[in]}" && wait "${pid[out]}" || return
	unset 'pid[in]' 'pid[out]'
	diff <(echo "$sum") <(sha256sum <"$work/came"; sha256sum <"$work/data")
}
check "vsock: both ways at once" both_ways
to_guest() {
	send net "$io/socat -u VSOCK-LISTEN:11 OPEN:/tmp/called,creat; echo \"called \$(sha256sum </tmp/called)\""
	until_true 60 socat -u "OPEN:$work/data" VSOCK-CONNECT:7:11
	until_line 60 "called $(sha256sum <"$work/data")" "$work/net.out"
}
check "vsock: the host calls" to_guest

for name in server second; do kill "${pid[$name]}"; wait "${pid[$name]}"; unset "pid[$name]"; done
send net 'poweroff -f'
check "powers off" ended net 60 0
check "nothing was wrong" eval '! grep -E "needs a reset|vhost|passt" "$work/net.err"'
done_testing
