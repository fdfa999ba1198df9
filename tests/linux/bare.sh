#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# memory: 4096
# seconds: 75
# The bare-metal guests' library, on a machine of its own; one that misuses every device; and a hundred such guests in
# one host.

. "$(dirname "$0")/lib.bash"

# Each part of the library once: the guest's own points are this test's.
ram='0x0 0x4000000'
bare basics basics 2 "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x800000>;')" cpus=2
forward basics 60
check "basics-powers-off" eval "[ $status -eq 0 ]"

# Every device there is, misused in every way that a guest has; all of them serve on. Those of the host's kernel where
# it has them: the guest knows such a card by the end of its address. Whoever asks for the host's gets an answer.
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 # nobody else speaks
ip link set lo up
ip addr add 10.66.0.1/32 dev lo
in_kernel=''
[ ! -c /dev/vhost-net ] || in_kernel+='net1 { compatible = "sluice,virtio-net"; tap = "misuse1"; vhost; local-mac-address = [02 00 00 00 00 ff]; };'
[ ! -c /dev/vhost-vsock ] || in_kernel+='vsock0 { compatible = "sluice,virtio-vsock"; cid = <9>; };'
truncate -s 16M "$work/misuse.img"
bare misuse misuse 1 "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x800000>;')
	disk0 { compatible = \"sluice,virtio-blk\"; file = \"misuse.img\"; };
	net0 { compatible = \"sluice,virtio-net\"; tap = \"misuse0\"; local-mac-address = [02 00 00 00 00 01]; };
	rng0 { compatible = \"sluice,virtio-rng\"; };
	balloon { compatible = \"sluice,virtio-balloon\"; };
	console0 { compatible = \"sluice,virtio-console\"; ports = \"agent\", \"log=file:misuse.log\"; };
	$in_kernel
	watchdog { compatible = \"sluice,watchdog\"; action = \"event\"; };" ram=0x4000000
run misuse
check "misuse-has-its-networks" eval "until_true 60 ip link set misuse0 up && { [ ! -c /dev/vhost-net ] || until_true 60 ip link set misuse1 up; }"
send misuse begin
check "misuse-ends-well" ended misuse 400 0
points misuse
says_registers() { head -n 5 "$work/misuse.err"; grep -q 'stray store at 0x9010000, arm,pl031: a device.s registers, by other than a plain load or store' "$work/misuse.err"; }
check "misuse-of-registers-is-told" says_registers

# Three lives in one process: nothing of one is left in the next.
bare again again 1 "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x800000>;')"
run again
lives() { [ "$(grep -c 'off or again' "$work/again.out")" -eq "$1" ]; }
for life in 1 2 3; do
	check "life-$life" until_true 60 lives $life
	send again "$([ $life -lt 3 ] && echo again || echo off)"
done
check "again-ends" ended again 60 0
check "nothing-left" eval "! grep '^not ok' $work/again.out && [ \$(grep -c '^ok' $work/again.out) -eq 15 ]"

# A hundred at once, each of a machine of its own.
bare hello hello 1
hundred() {
	local i pids=() ok=0
	for ((i = 0; i < 100; i++)); do
		"$SLUICE" run --name "hello-$i" "$work/hello.dts" </dev/null >"$work/hello.$i" 2>&1 &
		pids+=($!)
	done
	for ((i = 0; i < 100; i++)); do
		wait "${pids[i]}" && grep -q '^ok 1 - hello from hello' "$work/hello.$i" && ok=$((ok + 1))
	done
	echo "$ok of 100 ended well"
	[ "$ok" -eq 100 ] || { tail -n 3 "$work"/hello.1?; false; }
}
check "a-hundred-at-once" hundred
done_testing
