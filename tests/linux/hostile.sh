#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 6.12 7.3
# memory: 6144
# cpu: neoverse-n1
# timeout: 600
# A guest that attacks: every kind of access on every block that it was not given, a random half of a window of 4 GiB,
# with few slots, many, and one for each block, reads that see zeros and reads that abort, and each backing. The host
# looks meanwhile at what the kernel says is there. $HOSTILE_ALL=1, as in hostile-all, takes every combination.

. "$(dirname "$0")/lib.bash"

block=$((2 << 20))
ram='0x0 0x4000000'
cell64() { printf '/bits/ 64 <0x%x>' "$1"; }

# The kernel's list of the process's memory: no page behind what cannot be written, in the window's mappings, which are
# all that are larger than a block. And a memfd holds no more than is plugged.
no_page_unplugged() {
	local fd blocks
	awk '/^[0-9a-f]+-[0-9a-f]+ / { protected = $2 !~ /w/ && $6 == ""; range = $1 }
		/^Size:/ { large = $2 >= 2048 }
		/^(Rss|Private_Hugetlb|Shared_Hugetlb):/ { if (protected && large && $2) { print "held:", range, $0; bad = 1 } }
		END { exit bad }' "/proc/${pid[$1]}/smaps" || return 1
	for fd in "/proc/${pid[$1]}"/fd/*; do
		[[ $(readlink "$fd") == /memfd:sluice-window* ]] || continue
		blocks=$(stat -L -c %b "$fd")
		[ $((blocks * 512)) -le "$2" ] || { echo "the memfd holds $((blocks * 512)) bytes"; return 1; }
	done
}

exactly_plugged() {
	local plugged
	plugged=$(sed -n "s/^$2 the accesses: plugged \([0-9]*\).*/\1/p" <(tr -d '\r' <"$work/$1.out"))
	[ "$plugged" -gt 0 ] && map_json "$1" | jq -e ".[0] | .plugged == $plugged and .exposed == $plugged" &&
		no_page_unplugged "$1" "$plugged"
}

counted() {
	local told
	told=$(sed -n 's/^after the accesses: .* told \([0-9]*\).*/\1/p' <(tr -d '\r' <"$work/$1.out"))
	qmp "$1" '{"execute":"x-sluice-query-strays"}' | jq -e ".return.total == $told" ||
		{ qmp "$1" '{"execute":"x-sluice-query-strays"}'; echo "the guest made $told"; false; }
}

said() { grep -aq "^$2 the accesses" "$work/$1.out"; }

# attack NAME SLOT-BYTES READS PROPERTIES
attack() {
	local name=$1 seed=$((RANDOM + 1)) abort=0
	[ "$3" = zero ] || abort=1
	bare "$name" hostile 1 "$(usual_window "block-size = $(cell64 $block); requested-size = $(cell64 $((4 << 30)));
		stray-reads = \"$3\"; $4")" "seed=$seed slot=$2 abort=$abort"
	run "$name"
	check "$name: plugs its half" until_true 60 said "$name" before
	check "$name: exposed is plugged, no page elsewhere" exactly_plugged "$name" before
	send "$name" ''
	check "$name: makes its accesses" until_true 120 said "$name" after
	check "$name: still exposed is plugged, no page elsewhere" exactly_plugged "$name" after
	check "$name: each that came to us was counted" counted "$name"
	send "$name" ''
	check "$name: ends well" ended "$name" 30 0
	points "$name"
}

echo 1200 >/proc/sys/vm/nr_hugepages
one='memslots = <1>;' each="slot-size = $(cell64 $block);"
if [ -n "${HOSTILE_ALL:-}" ]; then
	for backing in anonymous memfd hugetlb; do
		for reads in zero abort; do
			with="backing = \"$backing\";"
			attack "one_slot_${reads}_$backing" $((4 << 30)) $reads "$one $with"
			attack "chosen_slots_${reads}_$backing" $((128 << 20)) $reads "$with"
			attack "slot_a_block_${reads}_$backing" $block $reads "$each $with"
		done
	done
else
	attack one_slot_zero_anonymous $((4 << 30)) zero "$one"
	attack chosen_slots_abort_memfd $((128 << 20)) abort 'backing = "memfd";'
	attack slot_a_block_zero_hugetlb $block zero "$each backing = \"hugetlb\";"
fi
done_testing
