#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# How long a QMP client waits for an answer while a guest gives its monitor all the work that it can
# (tests/guests/bare/flood.c): the same guest on Sluice and on QEMU, in turn, attack by attack. Prints the longest wait
# and, of Sluice, the longest turn of its loop and who took it.

. "$TOP/tests/bench/beside.bash"

disks=2 queues=8 seconds=${SECONDS_EACH:-5} ram='0x0 0x4000000' window=$((512 << 20))
for ((i = 0; i < disks; i++)); do truncate -s 256M "$work/disk$i.img"; done
echo never >/sys/kernel/mm/transparent_hugepage/enabled # so unplugging is dearest

# devices WHAT: nodes of Sluice's tree, and QEMU's options. virtio-mem is on PCI there, the others on virtio-mmio.
sluice_devices() {
	local i aliases=''
	(($1 & 1)) && for ((i = 0; i < disks; i++)); do
		echo "disk$i { compatible = \"sluice,virtio-blk\"; file = \"disk$i.img\"; queues = <$queues>; };"
	done
	! (($1 & 2)) || echo 'balloon { compatible = "sluice,virtio-balloon"; };'
	! (($1 & 4)) || usual_window "block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <$window>;"
}
qemu_devices() {
	local i
	(($1 & 1)) && for ((i = 0; i < disks; i++)); do
		echo "-drive if=none,id=d$i,format=raw,cache=writeback,aio=io_uring,file=$work/disk$i.img"
		echo "-device virtio-blk-device,drive=d$i,num-queues=$queues"
	done
	! (($1 & 2)) || echo '-device virtio-balloon-device'
	! (($1 & 4)) || qemu_window on $window
}

# measure NAME: the longest wait in ms, of a client that asks while the guest floods.
measure() {
	must await 120 line 1 '^flooding' "$work/$1.out"
	[ "$1" != sluice ] || qmp sluice '{"execute":"x-sluice-query-loop","arguments":{"restart":true}}' >/dev/null
	"$BUILD/tests/bench/qmp-pause" "$(socket "$1")" "$seconds" | sed -n 's/.*median \(.*\) longest \(.*\)/\2 (\1)/p'
	[ "$1" != sluice ] || turn=$(qmp sluice '{"execute":"x-sluice-query-loop"}' |
		jq -r '.return | "\(."longest-us" / 1000) ms, \(.longest); \(."long-turns") of \(.turns)"')
	send "$1" ''
	must ended "$1" 600 0
}

host_line
printf '\n| attack | Sluice, longest wait (median), ms | QEMU | longest turn of the loop; how many took more than 5 ms |\n|---|---|---|---|\n'
while read -r what label; do
	cpus=$(((what & 4) ? 2 : 1))
	bare sluice flood $cpus "$(sluice_devices "$what")" "what=$what"
	run sluice
	measure sluice >"$work/sluice.wait"
	# shellcheck disable=SC2046
	run_qemu qemu -smp $cpus -m 64M,maxmem=4160M,slots=1 -global virtio-mmio.force-legacy=off $(qemu_devices "$what") \
		-kernel "$BUILD/tests/guests/bare/guest-flood" -append "flood what=$what"
	measure qemu >"$work/qemu.wait"
	echo "| $label | $(cat "$work/sluice.wait") | $(cat "$work/qemu.wait") | $turn |"
done <<-EOF
	0 none
	1 $disks disks, $queues queues each
	2 balloon
	3 disks and balloon
	4 memory
	7 all of them
EOF
