#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# How long a QMP client waits for an answer while a guest gives its monitor all the work that it can
# (tests/guests/bare/flood.c): the same guest on Sluice and on QEMU, in turn, attack by attack. Prints the longest wait
# and, of Sluice, the longest turn of its loop and what took it. A client asks for $SECONDS_EACH (2, a whole number) in
# each row, and for five times as long in that of system resets. ATTACKS="none disks" runs some rows only: their names or
# numbers are in the list at the end.

. "$TOP/tests/bench/beside.bash"

disks=2 queues=8 seconds=${SECONDS_EACH:-2} window=$((512 << 20))
for ((i = 0; i < disks; i++)); do truncate -s 256M "$work/disk$i.img"; done
echo never >/sys/kernel/mm/transparent_hugepage/enabled # so unplugging costs the most

# The card's other end, which answers; nobody else speaks on it. The frames of the guest are in one piece.
card=02:00:00:00:00:01
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
network() {
	(($1 & 16)) || return 0
	must until_true 60 ip link set flood0 address 02:00:00:00:00:fe
	must ip link set flood0 mtu 65521
	must ip addr add 10.66.0.1/24 dev flood0
	must ip link set flood0 up
	must busybox arp -i flood0 -s 10.66.0.2 $card
}

# devices WHAT: nodes of Sluice's tree, and QEMU's options. virtio-mem is on PCI there, the others on virtio-mmio.
sluice_devices() {
	local i
	(($1 & 1)) && for ((i = 0; i < disks; i++)); do
		echo "disk$i { compatible = \"sluice,virtio-blk\"; file = \"disk$i.img\"; queues = <$queues>; };"
	done
	! (($1 & 2)) || echo 'balloon { compatible = "sluice,virtio-balloon"; };'
	! (($1 & (4 | 256))) || usual_window "block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <$window>;"
	! (($1 & 8)) || echo 'console0 { compatible = "sluice,virtio-console"; ports = "hvc=file:hvc.out", "port=file:port.out"; terminal; };'
	! (($1 & 16)) || echo "card { compatible = \"sluice,virtio-net\"; tap = \"flood0\"; local-mac-address = [${card//:/ }]; };"
	! (($1 & 32)) || echo 'rng { compatible = "sluice,virtio-rng"; };'
	! (($1 & 64)) || echo 'vsock { compatible = "sluice,virtio-vsock"; cid = <9>; };'
}
qemu_devices() {
	local i
	(($1 & 1)) && for ((i = 0; i < disks; i++)); do
		echo "-drive if=none,id=d$i,format=raw,cache=writeback,aio=io_uring,file=$work/disk$i.img"
		echo "-device virtio-blk-device,drive=d$i,num-queues=$queues"
	done
	! (($1 & 2)) || echo '-device virtio-balloon-device'
	# Before the window: behind it QEMU refuses vhost, which has fewer slots than the window has been promised.
	! (($1 & 64)) || echo '-device vhost-vsock-device,guest-cid=9'
	! (($1 & (4 | 256))) || qemu_window on $window
	! (($1 & 8)) || echo "-chardev pipe,id=hvc,path=$work/hvc -chardev pipe,id=port,path=$work/port" \
		'-device virtio-serial-device,max_ports=2 -device virtconsole,chardev=hvc,nr=0 -device virtserialport,chardev=port,nr=1'
	! (($1 & 16)) || echo "-netdev tap,id=n,ifname=flood0,script=no,downscript=no,vhost=off -device virtio-net-device,netdev=n,mac=$card"
	! (($1 & 32)) || echo '-device virtio-rng-device'
	! (($1 & 256)) || echo '-action reboot=reset'
}

# slowly FIFO FILE: what comes through the FIFO goes to the file as fast as a serial line takes it, of 115200 baud.
slowly() {
	local LC_ALL=C bytes fd
	rm -f "$1"
	mkfifo "$1"
	while :; do
		! read -r -N 1152 -t 0.1 -u "$fd" bytes || read -r -t 0.1 -u "$pause"
		printf %s "$bytes"
	done {fd}<>"$1" >"$2" &
	pid[$1]=$!
}

# ready NAME WHAT: what the machine NAME writes to.
ready() {
	slowly "$work/$1.out" "$work/$1.seen"
	(($2 & 8)) || return 0
	slowly "$work/hvc.out" /dev/null
	slowly "$work/port.out" /dev/null
	rm -f "$work/hvc.in" "$work/port.in"
	mkfifo "$work/hvc.in" "$work/port.in" # as QEMU wants them
}

# measure NAME WHAT: the longest wait in ms, of a client that asks while the guest floods; then the end of the machine.
# One that is reset is asked from its second life on. Nothing here waits for ever: a monitor may not come to answer.
measure() {
	local asks=$seconds lives=1 p
	! (($2 & 256)) || asks=$((5 * seconds)) lives=2
	turn=''
	if await 20 line $lives '^flooding' "$work/$1.seen"; then
		[ "$1" != sluice ] || qmp sluice '{"execute":"x-sluice-query-loop","arguments":{"restart":true}}' >/dev/null
		timeout -s KILL $((asks + 4)) "$BUILD/tests/bench/qmp-pause" "$(socket "$1")" "$asks" >"$work/asked" 2>"$work/unanswered"
		sed -n 's/.*median \(.*\) longest \(.*\)/\2 (\1)/p' "$work/asked" | grep . ||
			echo "no answer in $((asks + 4)) s $(tail -n 1 "$work/unanswered")"
		# Rings that never returned a chain: what they ask for was not measured.
		sed -n 's/^flooding \([0-9]*\) of \([0-9]*\) .*/\1 \2/p' "$work/$1.seen" | awk 'NR == 1 && $1 < $2 { print "with " $1 " of " $2 " rings served in 2 s" }'
		[ "$1" != sluice ] || turn=$(qmp sluice '{"execute":"x-sluice-query-loop"}' |
			jq -r '.return | "\(."longest-us" / 1000) ms, \(.longest); \(."long-turns") of \(.turns)"')
	else
		echo "the guest did not begin in 20 s"
		tail -n 20 "$work/$1.seen" "$work/$1.err" >&2
	fi
	printf '%s\n' '{"execute":"qmp_capabilities"}' '{"execute":"quit"}' | socat -t 2 - "UNIX-CONNECT:$(socket "$1")" >/dev/null
	# ended() would read its console, whose reader does not end.
	await 4 end "${pid[$1]}" || echo "and did not end in 4 s"
	for p in "$1" "$work/$1.out" "$work/hvc.out" "$work/port.out"; do
		[ -n "${pid[$p]:-}" ] || continue
		{ kill -9 "${pid[$p]}"; wait "${pid[$p]}"; } 2>/dev/null
		unset "pid[$p]"
	done
} 2>>"$work/measure.err"

# row WHAT LABEL
row() {
	local what=$1 cpus=$((($1 & 4) ? 2 : 1)) mib=64 window=$window ram
	! ((what & 256)) || mib=320 window=$((window / 2)) # both are touched: 256 MiB of each
	printf -v ram '0x0 0x%x' $((mib << 20))
	bare sluice flood $cpus "$(sluice_devices "$what")" "what=$what ram=$((mib << 20))"
	ready sluice "$what"
	run sluice
	network "$what"
	measure sluice "$what" >"$work/sluice.wait"
	of_sluice=$turn
	ready qemu "$what"
	# shellcheck disable=SC2046
	run_qemu qemu -smp $cpus -m ${mib}M,maxmem=$((mib + 4096))M,slots=1 -global virtio-mmio.force-legacy=off $(qemu_devices "$what") \
		-kernel "$BUILD/tests/guests/bare/guest-flood" -append "flood what=$what ram=$((mib << 20))"
	network "$what"
	measure qemu "$what" >"$work/qemu.wait"
	echo "| $2 | $(paste -sd ' ' "$work/sluice.wait") | $(paste -sd ' ' "$work/qemu.wait") | $of_sluice |"
}

rows="
	0 none none
	1 disks $disks disks, $queues queues each
	2 balloon balloon
	3 disks+balloon disks and balloon
	4 memory memory
	8 console UART and console
	16 network network card
	32 rng random bytes
	64 vsock vsock
	251 device-resets device resets, all devices but memory
	256 system-resets system resets
	255 all all of them but system resets
"
for attack in ${ATTACKS:-}; do
	must grep -q "^	$attack \| $attack " <<<"$rows"
done
lacks=0
[ -c /dev/vhost-vsock ] || lacks=64
host_line
printf '\n| attack | Sluice, longest wait (median), ms | QEMU | longest turn of the loop; how many took more than 5 ms |\n|---|---|---|---|\n'
while read -r what name label; do
	[[ -n $what && (-z ${ATTACKS:-} || " $ATTACKS " = *" $what "* || " $ATTACKS " = *" $name "*) ]] || continue
	what=$((what & ~lacks))
	if [ "$name" = vsock ] && [ $what -eq 0 ]; then
		echo '| vsock | not measured: this host has no /dev/vhost-vsock | | |'
	else
		row $what "$label"
	fi
done <<<"$rows"
