#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 7.3
# more-hosts: 6.12
# memory: 2048
# cpus: 1
# seconds: 15
# A host that promises no more memory than it has (vm.overcommit_memory=2): a large window starts all the same, a guest
# that asks for more than there is gets BUSY, and the refusal leaves no hole in the window for anything to land in.

. "$(dirname "$0")/lib.bash"

echo 2 >/proc/sys/vm/overcommit_memory
echo 80 >/proc/sys/vm/overcommit_ratio

tree tight 1 6.12 "$(regions "$(window_region vmem0 '0x1 0x0' '0x40 0x0' 100000000)") $(window_device vmem0)"
run tight
check "window-of-256-gib-starts" booted tight
while read -r range _; do
	[ $((0x${range#*-} - 0x${range%-*})) -lt $((1 << 38)) ] || { first=${range%-*} last=${range#*-}; break; }
done <"/proc/${pid[tight]}/maps"

# Every byte of the window is mapped, and by what it was: private, anonymous.
no_hole() {
	local range prot inode start end at=$((0x$first))
	while read -r range prot _ _ inode _; do
		start=$((0x${range%-*})) end=$((0x${range#*-}))
		[ "$end" -gt "$((0x$first))" ] && [ "$start" -lt "$((0x$last))" ] || continue
		[ "$start" -le "$at" ] || { echo "a hole from $at to $start"; return 1; }
		[ "$inode" = 0 ] || { echo "$range $prot is not the window's"; return 1; }
		at=$end
	done <"/proc/${pid[tight]}/maps"
	[ "$at" -ge "$((0x$last))" ] || { echo "the window ends at $at"; return 1; }
}
refused() {
	! "$SLUICE" mem tight 8GiB --timeout 5 2>"$work/refusal" || { echo "the host has not that much"; return 1; }
	grep 'Why: this host did not do what the guest asked for: the host does not commit the memory' "$work/refusal" ||
		{ cat "$work/refusal"; return 1; }
	map_json tight | jq -e '.[0] | .plugged < .requested and .exposed == .plugged'
}
committed() { awk '/^Committed_AS/ { print int($2 / 1024) }' /proc/meminfo; }

check "no-hole-before" no_hole
before=$(committed)
check "grows-to-what-there-is" refused
check "no-hole-after-refusals" no_hole
check "guest-lives" guest tight 60 'guest-tool fill 64 3 && guest-tool verify && guest-tool release'
check "shrinks" shrinks tight
check "charge-comes-back" eval "[ $(committed) -le $((before + 32)) ] || { echo $before, then $(committed) MiB; false; }"
check "grows-again" "$SLUICE" mem tight 128MiB
send tight 'reboot -f'
check "boots-again" booted tight 2
check "no-hole-after-reset" no_hole
send tight 'poweroff -f'
check "powers-off" ended tight 60 0
done_testing
