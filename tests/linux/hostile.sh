#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hosts: 6.1 7.3
# memory: 6144
# cpus: 1
# seconds: 65
# A guest that attacks: every kind of access on every block that it was not given, a random half of a window of 4 GiB,
# with few slots, many, and one for each block, reads that see zeros and reads that abort, and each backing. The host
# checks meanwhile what the kernel says is there. $HOSTILE_ALL=1, as in hostile-all, takes all combinations (6.12 too).

. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/window.bash"

block=$((2 << 20)) window_bytes=$((4 << 30))
ram='0x0 0x4000000'
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
