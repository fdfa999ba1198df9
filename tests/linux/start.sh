#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.12
# seconds: 10
# A machine without devices asks for nothing at its start that it does not need, by its system calls; and of the pages that
# it has written beside the guest's there are few.

. "$(dirname "$0")/lib.bash"

ram='0x0 0x8000000'
bare off off 1
dtc -q -o "$work/off.dtb" "$work/off.dts"
check 'powers-off' timeout 60 strace -f -o "$work/calls" "$SLUICE" run "$work/off.dtb"
# times MOST PATTERN: so many calls at most are of this kind.
times() {
	local count
	count=$(grep -cE "$2" "$work/calls")
	[ "$count" -le "$1" ] || { echo "$count times, not $1:"; grep -E "$2" "$work/calls"; false; }
}
check 'its-calls-were-seen' grep -q 'KVM_RUN' "$work/calls"
check 'one-vm-is-made' times 1 'KVM_CREATE_VM'
check 'the-address-space-is-not-searched' times 1 'MAP_NORESERVE'
check 'nothing-is-asked-of-fresh-memory' times 0 'mincore\('
check 'libraries-but-the-c-library-are-not-loaded' times 1 'openat\(.*\.so[.0-9]*", .* = [0-9]'
# How often two threads wait for each other varies.
sed -n '/clone3\?(/q; /futex(/p' "$work/calls" >"$work/alone"
check 'one-thread-waits-for-nobody' eval 'cat "$work/alone"; [ ! -s "$work/alone" ]'
sed -i '/futex(/d' "$work/calls"
# 269 to 271 were seen.
check 'all-its-other-calls' times 280 '^[0-9]+ +[a-z0-9_]+\('
check 'no-event-is-made-that-nobody-hears' times 0 'libjansson|/dev/urandom'

ram='0x0 0x8000000'
bare idle again 1 "$(usual_window 'block-size = /bits/ 64 <0x200000>; requested-size = /bits/ 64 <0x200000>;')"
run idle
check 'a-guest-waits' until_line 60 'off or again?' "$work/idle.out"
# Pages of the program that are as its file has them are not among these. Only the guest's RAM and window are so large.
written() {
	local kib
	kib=$(awk '/^Size:/ { large = $2 >= 2048 } /^Anonymous:/ && !large { sum += $2 } END { print sum }' "/proc/${pid[idle]}/smaps")
	echo "$kib KiB"
	[ "$kib" -le "$1" ] && [ "$kib" -gt 0 ]
}
check 'few-pages-are-written-beside-the-guest' written 512
send idle off
check 'ends' ended idle 60 0
done_testing
