#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 140
# The bare-metal guests' library, on a machine of its own; one that misuses every device; and a hundred such guests in
# one host.

. "$(dirname "$0")/lib.bash"

# Each part of the library once: the guest's own points are this test's.
ram='0x0 0x4000000'
bare basics basics 2 "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x800000>;')" cpus=2
forward basics 60
check "basics-powers-off" eval "[ $status -eq 0 ]"

# Interrupts of virtio devices, whatever a driver makes of them.
truncate -s 1M "$work/levels.img"
bare levels levels 1 'disk0 { compatible = "sluice,virtio-blk"; file = "levels.img"; };'
forward levels 60
check "levels-powers-off" [ "$status" -eq 0 ]

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
check "misuse-of-registers-is-logged" says_registers

# Three lives in one process: nothing of one is left in the next. All pages that a guest marks are equal, in RAM and in a
# block, and the host merges them: 48 MiB and 2.
bare again again 1 "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x800000>; mergeable;')"
sed -i 's/device_type = "memory";/& sluice,mergeable;/' "$work/again.dts"
ksm=/sys/kernel/mm/ksm
ksm_was=("$(cat $ksm/run)" "$(cat $ksm/pages_to_scan)")
echo 0 >$ksm/run
check "merging-is-off" eval "$SLUICE check $work/again.dts 2>&1 | grep 'sluice,mergeable: this host does not merge equal pages'"
# The kernel reads each page twice before it merges it.
merged() { qmp again '{"execute":"x-sluice-query-memory"}' | jq -e '.return.merged | . >= 45 * 1048576'; }
run again
lives() { [ "$(grep -c 'off or again' "$work/again.out")" -eq "$1" ]; }
for life in 1 2 3; do
	check "life-$life" until_true 60 lives $life
	if [ $life -eq 2 ]; then
		echo 2000 >$ksm/pages_to_scan
		echo 1 >$ksm/run
		check "equal-pages-are-merged" until_true 120 merged
		echo "${ksm_was[0]}" >$ksm/run
		echo "${ksm_was[1]}" >$ksm/pages_to_scan
		check "windows-are-mergeable-too" eval "[ \$(grep -c '^VmFlags:.* mg' /proc/${pid[again]}/smaps) -ge 2 ]"
		check "what-was-merged-is-shown" eval "$SLUICE mem again | grep '^equal pages that the host merged: ' && $SLUICE map again"
	fi
	send again "$([ $life -lt 3 ] && echo again || echo off)"
done
check "again-ends" ended again 60 0
check "nothing-left" eval "! grep '^not ok' $work/again.out && [ \$(grep -c '^ok' $work/again.out) -eq 15 ]"

# RAM of each kind, through a reset, after which nothing is left; and what is refused.
ram_of() { # NAME PROPERTIES
	bare "$1" again 1 "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x800000>;')"
	sed -i "s/device_type = \"memory\";/& $2/" "$work/$1.dts"
}
refuses() { # NAME WORDS
	"$SLUICE" run --name "$1-refused" "$work/$1.dts" </dev/null >"$work/$1.refused" 2>&1
	[ $? -ne 0 ] && grep -F "$2" "$work/$1.refused" || { cat "$work/$1.refused"; false; }
}
ram_of memfd 'sluice,backing = "memfd";'
ram_of hugetlb 'sluice,backing = "hugetlb";'
ram_of file 'sluice,backing = "file"; sluice,file = "ram";'
check "no-pool" refuses hugetlb "/memory: sluice,backing: the host's pool of huge pages has no 64 MiB left"
echo 34 >/proc/sys/vm/nr_hugepages
check "no-file" refuses file '/memory: sluice,file: '"$work/ram cannot be opened to be written: No such file or directory"
truncate -s 67108863 "$work/ram"
check "too-short-a-file" refuses file '/memory: sluice,file: has less than the 64 MiB of this memory'
truncate -s 67108864 "$work/ram"
for kind in memfd hugetlb file; do
	run $kind
	lives() { [ "$(grep -c 'off or again' "$work/$kind.out")" -eq "$1" ]; }
	check "$kind-lives" until_true 60 lives 1
	case $kind in
	memfd) check "memfd-is-the-ram" grep -q '^[^ ]* rw-s .*/memfd:sluice-memory' "/proc/${pid[$kind]}/maps" ;;
	hugetlb) check "the-pool-is-in-use" eval "[ \$(awk '/^HugePages_Rsvd/ { r = \$2 } /^HugePages_Free/ { f = \$2 } END { print f - r }' /proc/meminfo) -lt 8 ]" ;;
	file)
		check "the-file-holds-what-the-guest-wrote" eval "[ \$(stat -c %b $work/ram) -gt 90000 ]"
		check "a-second-machine-is-refused" refuses file 'has it locked: each has its own'
		;;
	esac
	send $kind again
	check "$kind-lives-again" until_true 60 lives 2
	send $kind off
	check "$kind-ends" ended $kind 60 0
	check "$kind-leaves-nothing" eval "! grep '^not ok' $work/$kind.out && [ \$(grep -c '^ok' $work/$kind.out) -eq 10 ]"
done
echo 0 >/proc/sys/vm/nr_hugepages
# Cut short under the guest, which is there all the time.
run file
lives() { [ "$(grep -c 'off or again' "$work/file.out")" -eq "$1" ]; }
check "the-file-is-had-anew" until_true 60 lives 1
truncate -s 0 "$work/ram"
check "a-file-cut-short-ends-the-machine" ended file 60 1
check "in-words" grep -E "the host has no memory for .*a file cut short" "$work/file.err"

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
