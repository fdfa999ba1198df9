#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 130
# What the host's kernel serves: a network card (vhost-net) with two pairs of queues, and sockets (vhost-vsock). Their
# tables of memory within the budget of slots, TCP both ways while memory comes and goes with every byte compared, the
# cable, a reset, a reboot, a vsock both ways, and what else may have the machine's context id.

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/network.bash"
. "$(dirname "$0")/window.bash"

ram='0x0 0x10000000'
[ -c /dev/vhost-net ] && [ -c /dev/vhost-vsock ] || { echo '1..0 # SKIP this host has no /dev/vhost-net and -vsock'; exit; }
regions=$(cat /sys/module/vhost/parameters/max_mem_regions)
card() { echo "$1 { compatible = \"sluice,virtio-net\"; tap = \"tap0\"; ${2:-} };"; }

vsock='vsock0 { compatible = "sluice,virtio-vsock"; cid = <7>; };'

# ---- The budget ----

# Sixty-four slots are one too many beside RAM's, whichever comes first in the tree.
many="slot-size = /bits/ 64 <0x8000000>;" # of 128 MiB
says_budget() {
	tree "$1" 1 6.12 "$2 $(window_of $((regions * 128 << 20)) "$many")"
	! "$SLUICE" check "$work/$1.dts" 2>"$work/err" && cat "$work/err" &&
		grep -q "windows ask for $regions memory slots, and vhost on this host, which serves /$3, takes, besides those of RAM, $((regions - 2)): /vmem0 $regions of 128 MiB. Lower memslots, or raise slot-size, or raise vhost's limit" "$work/err"
}
check "card-first-is-refused" says_budget first "$(card a0 'vhost;')" a0
check "window-first-is-refused" says_budget last "$(card zz0 'vhost;')" zz0
without_it() { tree without 1 6.12 "$(card a0) $(window_of $((regions * 128 << 20)) "$many")" && "$SLUICE" check "$work/without.dts"; }
check "without-vhost-it-fits" without_it

# ---- A machine: 64 GiB of window, cut by what vhost takes ----

tree net 2 6.12 "$(window_of $((64 << 30))) $(card net0 'vhost; queue-pairs = <2>; local-mac-address = [02 53 4c 55 00 01];') $vsock"
run net
check "makes-its-interface" until_true 60 ip addr add 10.9.0.1/24 dev tap0
ip link set tap0 up
check "boots" booted net
budget() { "$SLUICE" slots net | tee /dev/fd/2 | grep -q "vhost (net0)"; }
check "slots-name-vhost" budget
cut() { map_json net | jq -e ".[0].slots <= $regions - 2 and .[0].slots > 16"; }
check "chosen-slots-fit" cut
# Kernels from 6.4 on have the worker as a thread of the process; before, as one of their own in its cgroup.
workers() { [ "$(cat /proc/"${pid[net]}"/task/*/comm | grep -c "^vhost-")" -eq 3 ]; }
check "three-workers-of-the-process" workers
check "two-pairs" guest net 60 'ip link set eth0 up; [ -d /sys/class/net/eth0/queues/rx-1 ]'
both_used() { [ -d /sys/class/net/tap0/queues/tx-1 ]; }
check "both-used" until_true 60 both_used
up='ip addr add 10.9.0.2/24 dev eth0 && ip link set eth0 up && until ping -c 1 -W 1 10.9.0.1; do :; done'
check "comes-up" guest net 60 "$up"

head -c 16M /dev/urandom >"$work/data"
sum=$(sha256sum <"$work/data")
receives() {
	server "OPEN:$work/data" TCP-LISTEN:7001,reuseaddr
	[ "$(guest net 200 'until nc 10.9.0.1 7001 </dev/null >/tmp/data 2>/dev/null && [ -s /tmp/data ]; do sleep 0.2; done; sha256sum </tmp/data')" = "$sum" ]
}
check "receives" receives

# The guest sends without end, and what comes is compared; memory grows and shrinks beside it.
send net 'while :; do nc 10.9.0.1 7002 </tmp/data 2>/dev/null || sleep 0.1; done & sending=$!'
rounds() {
	local i
	for i in 1 2 3; do
		"$SLUICE" mem net 1GiB && "$SLUICE" mem net 0 || return
	done
}
rounds >"$work/rounds" 2>&1 & rounds=$!
transfers=0
while [ "$transfers" -lt 3 ] || kill -0 "$rounds" 2>/dev/null; do
	server TCP-LISTEN:7002,reuseaddr "OPEN:$work/back,creat,trunc"
	wait "${pid[server]}"
	transfers=$((transfers + 1))
	[ "$(sha256sum <"$work/back")" = "$sum" ] || break
done
whole() { wait "$rounds"; cat "$work/rounds"; echo "$transfers transfers"; [ "$(sha256sum <"$work/back")" = "$sum" ]; }
check "every-byte-while-memory-comes-and-goes" whole
rounds_ended() { grep -c . "$work/rounds" && wait "$rounds"; }
check "memory-came-and-went" rounds_ended
nothing_lost() { guest net 60 'kill $sending; grep -H . /sys/class/net/eth0/statistics/*_errors /sys/class/net/eth0/statistics/*_dropped; ! grep -q "[1-9]" /sys/class/net/eth0/statistics/*_errors'; }
check "nothing-lost" nothing_lost

# ---- The cable, a driver's reset, a reboot ----

link() { qmp net "{\"execute\": \"set_link\", \"arguments\": {\"name\": \"net0\", \"up\": $1}}" | grep -q return; }
check "cable-out" link false
check "guest-sees-it" guest net 60 'until [ "$(cat /sys/class/net/eth0/carrier)" = 0 ]; do sleep 0.1; done'
check "cable-in" link true
check "goes-on" guest net 60 'until [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do sleep 0.1; done; until ping -c 1 -W 1 10.9.0.1; do :; done'
rebind='cd /sys/bus/virtio/drivers/virtio_net; card=$(basename $(readlink -f /sys/class/net/eth0/device)); echo $card >unbind; echo $card >bind; cd /'
check "driver-comes-again" guest net 60 "$rebind; $up"
send net 'reboot -f'
check "boots-again" booted net 2
check "comes-up-again" guest net 60 "$up"
check "grows-again" "$SLUICE" mem net 512MiB
check "receives-again" receives

# ---- Sockets ----

# The guest's end goes with the machine. A peer that only listens, on the host, hears of it then, or never.
connects() {
	[ -n "${pid[peer]:-}" ] && ! gone peer || { socat -u VSOCK-CONNECT:7:10 - >"$work/heard" 2>"$work/heard.err" & pid[peer]=$!; }
	grep here "$work/heard"
}
send net '{ echo here; sleep 1000; } | guest-tool vsock listen 10 &'
check "vsock-that-stays" until_true 60 connects
send net 'reboot -f'
check "ends-with-the-machine" await 60 end "${pid[peer]}"
check "boots-once-more" booted net 3
to_guest() {
	send net 'guest-tool vsock listen 9 </dev/null >/tmp/called; echo "called $(sha256sum </tmp/called)"'
	until_true 60 socat -u "OPEN:$work/data" VSOCK-CONNECT:7:9
	until_line 60 "called $sum" "$work/net.out"
}
from_guest() {
	server VSOCK-LISTEN:9 "OPEN:$work/back,creat,trunc"
	guest net 100 'until guest-tool vsock 2 9 </tmp/called 2>/dev/null; do sleep 0.2; done' && wait "${pid[server]}" &&
		[ "$(sha256sum <"$work/back")" = "$sum" ]
}
check "vsock-to-the-guest" to_guest
check "vsock-from-the-guest" from_guest
taken() {
	tree other 1 6.12 "$vsock"
	! "$SLUICE" check "$work/other.dts" 2>"$work/err" && cat "$work/err" && grep -q "/vsock0: cid: 7 is another machine's on this host" "$work/err"
}
check "its-id-is-taken" taken

send net 'poweroff -f'
check "powers-off" ended net 60 0
no_complaint() { ! grep -E "needs a reset|vhost" "$work/net.err"; }
check "nothing-was-wrong" no_complaint

# ---- A guest that attacks by way of the worker ----

# The worker finds zeros or nothing in what is not plugged, and leaves nothing there. The guest hears the host all the time.
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
# From the guest's own side: to all, of a type for experiments.
{ printf '\377\377\377\377\377\377\2\0\0\0\0\1\210\265'; head -c 46 /dev/zero; } >"$work/frame"
noise() { while :; do socat -u "OPEN:$work/frame" INTERFACE:tap0; sleep 0.02; done; }
# Frames are made of these bytes, what is plugged of 0x5a, and what is not of zeros.
nothing_else_went() {
	ls -l "$work/went"; tr -d "\377\2\0\1\210\265Z" <"$work/went" | od -c | head -n 20
	grep -aq ZZZZ "$work/went" && [ "$(tr -d "\377\2\0\1\210\265Z" <"$work/went" | wc -c)" -eq 0 ]
}
reach() {
	local name=reach_$1 slot=$((128 << 20)) abort=0
	[ "$1" = zero ] || abort=1
	bare "$name" reach 1 "$(window_of $((1 << 30)) "block-size = $(cell64 $((2 << 20))); requested-size = $(cell64 $((2 << 20)));
		slot-size = $(cell64 $slot); stray-reads = \"$1\";") $(card net0 'vhost;')" "slot=$slot abort=$abort"
	run "$name"
	check "$name: plugs a block" until_said 60 "$name" "before all"
	ip link set tap0 up
	rm -f "$work/went"
	socat -u INTERFACE:tap0 "OPEN:$work/went,creat,trunc" & pid[went]=$!
	noise 2>/dev/null & pid[noise]=$!
	check "$name: the host's tap gets frames" until_true 60 [ -s "$work/went" ]
	send "$name" ''
	check "$name: tries all" until_said 120 "$name" "after all"
	check "$name: exposed is plugged, no page elsewhere" exactly_plugged "$name" "after all"
	send "$name" ''
	check "$name: ends well" ended "$name" 60 0
	kill "${pid[noise]}" "${pid[went]}" 2>/dev/null # the capture ends with the interface
	wait "${pid[noise]}" "${pid[went]}" 2>/dev/null
	unset "pid[noise]" "pid[went]"
	points "$name"
	check "$name: nothing went but what is plugged" nothing_else_went
}
reach zero
reach abort

# ---- A tap as an open descriptor ----

adopted() {
	tree fd 1 6.12 "net0 { compatible = \"sluice,virtio-net\"; tap-fd = <9>; };"
	! "$SLUICE" check "$work/fd.dts" 2>"$work/err" && cat "$work/err" && grep -q "/net0: tap-fd: is no descriptor that Sluice was started with" "$work/err" &&
		! "$SLUICE" check "$work/fd.dts" 9</dev/null 2>"$work/err" && cat "$work/err" && grep -q "/net0: tap-fd: is no tap interface's" "$work/err"
}
check "no-such-descriptor" adopted
# As a manager of networks starts it.
printf '#!/bin/bash\nexec "%s" adopted 9 "%s" "$@"\n' "$BUILD/tests/kvm/with-tap" "$(type -P "$SLUICE")" >"$work/manager"
chmod +x "$work/manager"
for vhost in '' 'vhost;'; do
	tree fd 1 6.12 "net0 { compatible = \"sluice,virtio-net\"; tap-fd = <9>; $vhost };"
	SLUICE=$work/manager run fd
	check "descriptor${vhost:+-with-vhost}: boots" booted fd
	check "descriptor${vhost:+-with-vhost}: carries" eval "ip link set adopted up && ip addr add 10.9.3.1/24 dev adopted && guest fd 60 'ip addr add 10.9.3.2/24 dev eth0; ip link set eth0 up; until ping -c 1 -W 1 10.9.3.1; do :; done'"
	send fd 'poweroff -f'
	check "descriptor${vhost:+-with-vhost}: powers off" ended fd 60 0
done
done_testing
