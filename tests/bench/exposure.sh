#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The same hostile guest on Sluice and on QEMU: it plugs a part of a window of 4 GiB, then stores to a page of each
# block that it was not given, and loads it again. Prints a table of what it could read, what it could make stick, as it sees it, and the
# memory that the monitor's process holds more for it, as the kernel counts.

. "$TOP/tests/bench/beside.bash"
. "$TOP/tests/linux/window.bash"

block=$((2 << 20)) window=$((4 << 30)) ram='0x0 0x4000000'

# held NAME: KiB of memory and page tables.
held() { awk '/^(VmRSS|VmPTE|HugetlbPages):/ { n += $2 } END { print n }' "/proc/${pid[$1]}/status"; }
# counted NAME WORD: the number after a word in what the guest said last.
counted() { sed -n "s/^after the accesses:.* $2 \([0-9]*\).*/\1/p" <(tr -d '\r' <"$work/$1.out"); }
size() { if (($1 && $1 % (1 << 30) == 0)); then echo $(($1 >> 30)) GiB; else echo $((($1 + (1 << 19)) >> 20)) MiB; fi; }

# How a window is cut, in bytes. QEMU's map shows it: a slot that is not there has nothing plugged.
slot_sluice() { map_json "$1" | jq '.[0]."slot-size"'; }
slot_qemu() {
	local range
	range=$(qmp "$1" '{"execute":"human-monitor-command","arguments":{"command-line":"info mtree"}}' | jq -r .return |
		sed -n 's/^ *\([0-9a-f]*\)-\([0-9a-f]*\) .*ram): \(alias memslot-0 @m .*\|m\r\)$/0x\2-0x\1+1/p' | head -n 1)
	echo $((range))
}

# measure NAME LABEL KIND: what a machine that runs shows, as a row.
measure() {
	local name=$1 before slot
	must until_said 120 "$name" "before the accesses"
	before=$(held "$name")
	send "$name" ''
	must until_said 300 "$name" "after the accesses"
	slot=$("slot_$3" "$name")
	printf '| %s | %s x %s | %s | %s | %s | %s |\n' "$2" $((window / slot)) "$(size "$slot")" "$(size "$(counted "$name" plugged)"), $how" \
		"$(size "$(counted "$name" read)")" "$(size "$(counted "$name" stuck)")" "$(size $((($(held "$name") - before) * 1024)))"
	send "$name" ''
	must ended "$name" 60 0
}

host_line
printf '\n| monitor | window cut into | plugged | unplugged, but loads get an answer | unplugged, but stores stick | memory taken there |\n|---|---|---|---|---|---|\n'
for what in seed=1 first=1152; do
	[ $what = seed=1 ] && how='a random half' || how='the first part'
	for cut in '' "slot-size = $(cell64 $block);"; do
		bare sluice hostile 1 "$(usual_window "block-size = $(cell64 $block); requested-size = $(cell64 $window); $cut")" "measure=1 $what"
		run sluice
		measure sluice Sluice sluice
	done
	for dynamic in on off; do
		# shellcheck disable=SC2046
		run_qemu qemu -m 64M,maxmem=4160M,slots=1 $(qemu_window $dynamic 4G) -kernel "$BUILD/tests/guests/bare/guest-hostile" \
			-append "hostile measure=1 $what"
		measure qemu "QEMU, dynamic-memslots=$dynamic" qemu
	done
done
